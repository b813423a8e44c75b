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
      zeroRecords: "No row matches.",
    },
  });
}

const contents = document.querySelector("#contents > details");
const narrow = window.matchMedia("(max-width: 70rem)");
if (contents) {
  const fit = () => (contents.open = !narrow.matches);
  fit();
  narrow.addEventListener("change", fit);
}

/* A link to a folded section opens it. */
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || target === contents?.parentElement) return;
  for (let place = target; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  target.scrollIntoView();
}
window.addEventListener("hashchange", reveal);
reveal();
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link) return;
  if (link.hash === "#contents") contents.open = true;
  else if (contents?.contains(link) && narrow.matches) contents.open = false;
  if (link.hash && link.hash === location.hash) reveal(); // no hashchange follows
});

const sections = [...document.querySelectorAll("main details")];
const unfold = document.querySelector("#contents button");
if (unfold) {
  unfold.hidden = false;
  unfold.addEventListener("click", () => {
    const open = sections.some((section) => !section.open);
    for (const section of sections) section.open = open;
    unfold.textContent = open ? "Fold all sections" : "Open all sections";
  });
}

/* On paper nothing is folded. */
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = sections.filter((section) => !section.open);
  for (const section of folded) section.open = true;
});
window.addEventListener("afterprint", () => {
  for (const section of folded) section.open = false;
});
