// Tables of class "sortable" are sorted by the column whose head is clicked; the browser is drawn.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const order = (a, b) => sign * value(a).localeCompare(value(b), "en", { numeric: true });
      const number = (row) => (row.cells[column].dataset.value ? Number(value(row)) : NaN);
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [number(a), number(b)];
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) && Number.isNaN(y) ? order(a, b) : Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      });
      body.append(...rows);
    });
  });
}

const within = (id) => document.getElementById(id);
if (within("rayred-browser")) {
  const values = {
    meta: () => JSON.parse(within("rayred-meta").textContent),
    data: () => within("rayred-data"),
    sheets: () => [...document.querySelectorAll("script.rayred-sheet")],
  };
  render({ model: { get: (name) => values[name]() }, el: within("rayred-browser") });
}
