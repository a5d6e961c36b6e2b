// Sorts a table when one of its headings is clicked. Without JavaScript the rows stay in the order of the run.
document.documentElement.classList.add("sorts");
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const numbers = [...body.rows].some(row => row.cells[column].dataset.value !== undefined);
    const value = row => {
      const cell = row.cells[column];
      return numbers ? (cell.dataset.value ? Number(cell.dataset.value) : null) : cell.textContent.trim();
    };
    // First click: numbers in descending order, text in ascending order.
    const first = numbers ? "descending" : "ascending", then = numbers ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? then : first;
    const sign = order === "ascending" ? 1 : -1;
    heads.forEach(other => other.setAttribute("aria-sort", other === head ? order : "none"));
    const compare = (x, y) => numbers ? x - y : x.localeCompare(y);
    const rows = [...body.rows].map(row => [value(row), row]);
    // Cells without a value stay at the end.
    rows.sort(([x], [y]) => x === null || y === null ? (x === null) - (y === null) : sign * compare(x, y));
    body.append(...rows.map(([, row]) => row));
  }));
}
