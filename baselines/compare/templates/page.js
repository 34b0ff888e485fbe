"use strict";
const value = cell => { const number = parseFloat(cell.dataset.value); return Number.isFinite(number) ? number : null; };
for (const head of document.querySelectorAll("table.sortable th button")) head.addEventListener("click", () => {
  const column = head.parentElement, row = column.parentElement, body = column.closest("table").tBodies[0];
  const place = [...row.cells].indexOf(column), down = column.getAttribute("aria-sort") === "ascending";
  for (const cell of row.cells) cell.removeAttribute("aria-sort");
  column.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = line => line.cells[place];
  body.append(...[...body.rows].sort((a, b) => {
    if (key(a).dataset.value === undefined) return (down ? -1 : 1) * key(a).textContent.localeCompare(key(b).textContent);
    const left = value(key(a)), right = value(key(b));
    if (left === null || right === null) return (left === null) - (right === null);
    return (down ? -1 : 1) * (left - right);
  }));
});
for (const panel of document.querySelectorAll(".panel.chart")) {
  for (const button of panel.querySelectorAll(".axes button")) button.addEventListener("click", () => {
    for (const other of panel.querySelectorAll(".axes button")) other.setAttribute("aria-pressed", other === button);
    for (const chart of panel.querySelectorAll("svg[data-axis]")) chart.toggleAttribute("hidden", chart.dataset.axis !== button.dataset.axis);
  });
  const chips = [...panel.querySelectorAll(".chips button")];
  const show = extra => {
    const names = chips.filter(chip => chip.getAttribute("aria-pressed") === "true").map(chip => chip.dataset.method);
    if (extra) names.push(extra);
    panel.classList.toggle("picked", names.length > 0);
    for (const group of panel.querySelectorAll("g[data-method]")) group.classList.toggle("on", names.includes(group.dataset.method));
  };
  for (const chip of chips) {
    chip.addEventListener("click", () => { chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true"); show(); });
    chip.addEventListener("mouseenter", () => show(chip.dataset.method));
    chip.addEventListener("mouseleave", () => show());
  }
}
