for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const falling = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "ascending" : "descending");
    const value = (row) => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
    const number = (text) => (text === "" || isNaN(text) ? null : Number(text));
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)], [n, m] = [number(x), number(y)];
      return n !== null && m !== null ? n - m : x.localeCompare(y);
    };
    const rows = [...body.rows].sort((a, b) => (falling ? order(a, b) : order(b, a)));
    body.append(...rows);
  });
}
