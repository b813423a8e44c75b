"use strict";
const WORTH_FILTERING = 8; // rows

for (const table of document.querySelectorAll("table")) {
  const filters = table.tBodies[0].rows.length >= WORTH_FILTERING;
  table.parentElement.classList.remove("scroll"); // the box that DataTables puts around the table scrolls
  new DataTable(table, {
    paging: false,
    autoWidth: false,
    order: [],
    columnDefs: [{ targets: "number", type: "num" }],
    layout: {
      topStart: filters ? "search" : null,
      topEnd: filters ? "info" : null,
      bottomStart: null,
      bottomEnd: null,
    },
    language: {
      search: "Filter",
      info: "_TOTAL_ rows",
      infoEmpty: "no row",
      infoFiltered: "of _MAX_",
      zeroRecords: "No row holds these words.",
    },
  });
}

const contents = document.querySelector("#contents details");
if (contents) {
  const narrow = window.matchMedia("(max-width: 70rem)");
  const fit = () => (contents.open = !narrow.matches);
  fit();
  narrow.addEventListener("change", fit);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    if (link.hash === "#contents") contents.open = true;
    else if (contents.contains(link) && narrow.matches) contents.open = false;
  });
}
