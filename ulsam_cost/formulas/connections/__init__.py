"""What makes attention more than one module at a time: DCA joins neighbours, AW goes into the convolutions."""
