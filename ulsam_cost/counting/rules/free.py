"""Operations that do nothing to any element: views, and tensors made from nothing."""

from ulsam_cost.counting.rules.registry import ops

VIEWS = frozenset(
    ops(
        "view _unsafe_view _reshape_alias reshape expand expand_as permute transpose t squeeze unsqueeze slice select "
        "split split_with_sizes unsafe_split unsafe_split_with_sizes unsafe_chunk chunk unbind detach alias as_strided "
        "lift_fresh lift view_as_real view_as_complex _conj _neg_view diagonal unfold movedim "
        "values _values",
        in_place=True,
    )
)
FREE = VIEWS | frozenset(
    ops(
        "empty empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like new_zeros ones "
        "ones_like new_ones full full_like new_full arange linspace logspace eye scalar_tensor zero fill resize "
        "set_ resize_as_ rand rand_like randn randn_like randint randint_like randperm bernoulli normal uniform "
        "normal_functional exponential random tril_indices triu_indices item _local_scalar_dense is_pinned "
        "_assert_async _assert_tensor_metadata sym_size sym_stride sym_numel sym_storage_offset is_same_size "
        "requires_grad_ _version record_stream _linalg_check_errors "
        "_has_same_storage_numel _efficientzerotensor _fused_sdp_choice _assert_scalar "
        "poisson binomial geometric cauchy log_normal _standard_gamma _sample_dirichlet "
        "hann_window hamming_window blackman_window bartlett_window kaiser_window "
        "indices _indices crow_indices col_indices ccol_indices row_indices _nnz is_coalesced sparse_dim dense_dim "
        "_dimI _dimV sparse_coo_tensor _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors "
        "_sparse_coo_tensor_unsafe sparse_compressed_tensor _sparse_compressed_tensor_unsafe sparse_csr_tensor "
        "fft_fftfreq fft_rfftfreq q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points "
        "_sparse_csr_tensor_unsafe _validate_sparse_coo_tensor_args _validate_sparse_compressed_tensor_args",
        in_place=True,
    )
)
