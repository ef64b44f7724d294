
"use strict";
(() => {
  const words = new Intl.Collator("en", { numeric: true });
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Shows the items that hold every word typed, and tells how many.
  function addFilter(controls, items, textOf, changed) {
    const field = controls.querySelector("input");
    const status = controls.querySelector("output");
    let texts = null;
    controls.hidden = false;
    field.addEventListener("input", () => {
      texts ??= items.map((item) => fold(textOf(item)));
      const wanted = fold(field.value).split(/\s+/).filter(Boolean);
      let shown = 0;
      items.forEach((item, index) => {
        const hit = wanted.every((word) => texts[index].includes(word));
        item.hidden = !hit;
        shown += hit;
      });
      status.textContent = `${shown} of ${items.length} ${status.dataset.noun}`;
      changed(wanted.length > 0);
    });
  }

  // What a cell is sorted by; null for an empty one, which comes last either way.
  function keyOf(cell, numeric) {
    if (numeric) return "v" in cell.dataset ? Number(cell.dataset.v) : null;
    const text = cell.textContent.trim();
    return ["", "-", "–", "—"].includes(text) ? null : text;
  }

  function sorted(rows, column, numeric, sign) {
    const compare = numeric ? (a, b) => a - b : words.compare;
    return rows
      .map((row) => ({ row, key: keyOf(row.cells[column], numeric) }))
      .sort((a, b) => {
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
        return sign * compare(a.key, b.key);
      })
      .map((entry) => entry.row);
  }

  for (const figure of all("figure.table")) {
    const table = figure.querySelector("table");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = all("thead th", table);
    let isFiltered = false;
    let isSorted = false;
    // Rules between groups mean nothing once rows have moved or gone.
    const rule = () => table.classList.toggle("moved", isSorted || isFiltered);

    addFilter(figure.querySelector(".controls"), rows, (row) => all("th, td", row)
      .map((cell) => cell.textContent).join(" "), (active) => {
      isFiltered = active;
      rule();
    });

    heads.forEach((head, column) => {
      const numeric = "n" in head.dataset;
      // Numbers start with the largest, which is what one looks for in a table of results.
      const turns = numeric ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
      head.querySelector("button").addEventListener("click", () => {
        const next = turns[(turns.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        heads.forEach((other) => other.setAttribute("aria-sort", other === head ? next : "none"));
        isSorted = next !== "none";
        const sign = next === "ascending" ? 1 : -1;
        body.append(...(isSorted ? sorted(rows, column, numeric, sign) : rows));
        rule();
      });
    });
  }

  const queries = document.getElementById("queries");
  if (queries) {
    const tasks = all(".task", queries);
    const textOf = (details) =>
      [details.parentElement.querySelector("h3"), details.querySelector("summary"), details.querySelector(".m")]
        .map((element) => element.textContent).join(" ");
    addFilter(queries.querySelector(".controls"), all("details", queries), textOf, () => {
      for (const task of tasks) task.hidden = !task.querySelector("details:not([hidden])");
    });
  }

  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
})();
