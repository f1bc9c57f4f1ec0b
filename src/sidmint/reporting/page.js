// The browser of ids: search, neighbours, tree. Everything shown enters as text, never as HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("tree-data").textContent);
  const app = document.getElementById("browser-app");
  const search = document.getElementById("search");
  const results = document.getElementById("search-results");
  const status = document.getElementById("search-status");
  const columns = document.getElementById("columns");
  const everyRow = data.ids.map((_, row) => row);
  const count = new Intl.NumberFormat("en");
  const MOST_FOUND = 30, FIRST_ROWS = 150, FIRST_NEAR = 6;

  let tokenizer = data.tokenizers[0];
  let path = [];          // codes of the opened branch
  let chosen = null;      // row of the chosen item

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };

  // ---- ids ----
  const depth = () => tokenizer.levels.length;
  const codesOf = (row) => tokenizer.levels.map((level) => level[row]);
  const idOf = (row) => {
    const tail = tokenizer.tails ? tokenizer.tails[row] : -1;
    return codesOf(row).join("-") + (tail < 0 ? "" : "-" + tail);
  };
  const rowsUnder = (prefix) =>
    everyRow.filter((row) => prefix.every((code, level) => tokenizer.levels[level][row] === code));
  const total = (rows, level) =>
    tokenizer.totals ? tokenizer.totals[level][rows[0]] : rows.length;
  const items = (number) => count.format(number) + (number === 1 ? " item" : " items");

  // ---- words that set a branch apart from its parent ----
  const wordsOf = (() => {
    const known = new Map();
    return (row) => {
      if (!known.has(row)) {
        known.set(row, new Set(data.titles[row].toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) || []));
      }
      return known.get(row);
    };
  })();
  const tally = (rows) => {
    const counts = new Map();
    for (const row of rows) for (const word of wordsOf(row)) counts.set(word, (counts.get(word) || 0) + 1);
    return counts;
  };
  const describe = (rows, around, numAround) => {
    if (rows.length === 1) return data.titles[rows[0]];
    const least = Math.max(2, rows.length * 0.12);
    const lift = (word, n) => Math.log((n * numAround) / (rows.length * around.get(word)));
    return [...tally(rows)]
      .filter(([word, n]) => n >= least && /\p{L}/u.test(word) && lift(word, n) > 0.2)
      .map(([word, n]) => [word, n * lift(word, n)])
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      .slice(0, 3).map(([word]) => word).join(" · ") || data.titles[rows[0]];
  };

  // ---- tree: one column a level, then the items ----
  const branches = (rows, level) => {
    const found = new Map();
    for (const row of rows) {
      const code = tokenizer.levels[level][row];
      if (!found.has(code)) found.set(code, []);
      found.get(code).push(row);
    }
    return [...found].sort((a, b) => total(b[1], level) - total(a[1], level) || a[0] - b[0]);
  };
  const listInSteps = (list, entries, toElement, first) => {
    const show = (from, to) => list.append(...entries.slice(from, to).map((entry) => make("li", {}, toElement(entry))));
    show(0, first);
    if (entries.length > first) {
      const more = make("li", {}, make("button", { type: "button", class: "plain", onclick: () => {
        more.remove();
        show(first, entries.length);
        list.children[first].querySelector("button").focus();
      } }, `show ${count.format(entries.length - first)} more`));
      list.append(more);
    }
  };
  const branchColumn = (rows, level) => {
    const found = branches(rows, level);
    const around = tally(rows);
    const fullest = total(found[0][1], level);
    const list = make("ul");
    // The opened code stays in sight even where the column is cut.
    const opened = found.findIndex(([code]) => code === path[level]);
    listInSteps(list, found, ([code, under]) => {
      const bar = make("i");
      bar.style.width = (100 * total(under, level)) / fullest + "%";
      return make("button", {
        type: "button", "aria-current": code === path[level] ? "true" : null,
        onclick: () => open([...path.slice(0, level), code], level),
      },
      make("span", { class: "code" }, String(code)),
      make("span", { class: "words" }, make("bdi", {}, describe(under, around, rows.length))),
      make("span", { class: "count" }, make("span", { class: "unseen" }, "items: "), count.format(total(under, level))),
      make("span", { class: "bar" }, bar));
    }, Math.max(FIRST_ROWS, opened + 1));
    return make("div", { class: "column" },
      make("h4", {}, `Level ${level + 1} · ${count.format(found.length)} ${found.length === 1 ? "code" : "codes"}`), list);
  };
  const itemColumn = (rows) => {
    const list = make("ul");
    const position = rows.indexOf(chosen);
    listInSteps(list, rows, (row) => make("button", {
      type: "button", "aria-current": row === chosen ? "true" : null, onclick: () => choose(row, false),
    }, make("span", { class: "words" }, make("bdi", {}, data.titles[row])),
    make("span", { class: "count" }, idOf(row))), Math.max(FIRST_ROWS, position + 1));
    return make("div", { class: "column items" }, make("h4", {}, items(rows.length)), list);
  };
  const draw = () => {
    const shown = [];
    let rows = everyRow;
    for (let level = 0; level < depth(); level += 1) {
      shown.push(branchColumn(rows, level));
      if (path[level] === undefined) break;
      rows = rows.filter((row) => tokenizer.levels[level][row] === path[level]);
    }
    if (path.length === depth()) shown.push(itemColumn(rows));
    const scrolled = [...columns.querySelectorAll("ul")].map((list) => list.scrollTop);
    columns.replaceChildren(...shown);
    columns.querySelectorAll("ul").forEach((list, index) => {
      list.scrollTop = scrolled[index] || 0;
      const current = list.querySelector('[aria-current="true"]');
      if (!current) return;
      const top = current.offsetTop;
      if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - 40) list.scrollTop = top - 60;
    });
  };
  const focusIn = (column) => {
    const target = column && (column.querySelector('[aria-current="true"]') || column.querySelector("button"));
    if (target) target.focus();
  };
  const open = (newPath, level) => {
    path = newPath;
    // A branch with one child has nothing to choose: walk on to where it forks.
    while (path.length < depth()) {
      const below = branches(rowsUnder(path), path.length);
      if (below.length > 1) break;
      path.push(below[0][0]);
    }
    draw();
    focusIn(columns.children[level]);
    columns.scrollTo({ left: columns.scrollWidth });
  };
  columns.addEventListener("keydown", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const column = button.closest(".column");
    const buttons = [...column.querySelectorAll("button")];
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) {
      const next = buttons[buttons.indexOf(button) + steps[event.key]];
      if (next) next.focus();
    } else if (event.key === "Home") buttons[0].focus();
    else if (event.key === "End") buttons[buttons.length - 1].focus();
    else if (event.key === "ArrowRight") {
      if (!button.hasAttribute("aria-current") && !column.matches(".items")) button.click();
      focusIn([...columns.children].at([...columns.children].findIndex((c) => c.contains(document.activeElement)) + 1));
    } else if (event.key === "ArrowLeft") focusIn(column.previousElementSibling);
    else return;
    event.preventDefault();
  });

  // ---- neighbours of a chosen item ----
  const chips = (row, shared) => codesOf(row).map((code, level) =>
    make("span", { class: level < shared ? "chip" : "chip off" }, String(code)));
  const sharing = (row, length) => {
    const codes = codesOf(row);
    return rowsUnder(codes.slice(0, length)).filter((other) =>
      other !== row && (length === depth() || tokenizer.levels[length][other] !== codes[length]));
  };
  const neighbours = () => {
    const box = document.getElementById("neighbours");
    if (chosen === null) { box.replaceChildren(); return; }
    const parts = [
      make("h3", {}, make("bdi", {}, data.titles[chosen])),
      make("p", { class: "quiet" }, "item ", make("bdi", {}, data.ids[chosen]), " · Semantic ID ", make("code", {}, idOf(chosen))),
    ];
    for (let length = depth(); length > 0; length -= 1) {
      const others = sharing(chosen, length);
      const which = length === depth() ? "Share every code"
        : length === 1 ? "Share the first code only" : `Share the first ${length} codes, then part`;
      const list = make("ul", { class: "near" });
      listInSteps(list, others, (row) => make("button", { type: "button", onclick: () => choose(row, true) },
        make("bdi", {}, data.titles[row])), FIRST_NEAR);
      parts.push(make("h4", {}, `${which} `, ...chips(chosen, length), make("span", { class: "quiet" }, ` ${others.length ? items(others.length) : "no other item"}`)), list);
    }
    box.replaceChildren(...parts);
  };
  const choose = (row, moveView) => {
    chosen = row;
    path = codesOf(row);
    neighbours();
    draw();
    columns.scrollTo({ left: columns.scrollWidth });
    if (moveView) document.getElementById("neighbours").scrollIntoView({ block: "nearest" });
    else focusIn(columns.querySelector(".items"));
  };

  // ---- search: a combobox over titles, item ids and Semantic IDs ----
  let found = [], active = -1, lowered = null;
  const matches = (text) => {
    const query = text.trim().toLowerCase();
    if (!query) return [];
    lowered = lowered || data.titles.map((title) => title.toLowerCase());
    const words = query.split(/\s+/);
    const likeId = /^\d+(-\d*)+$/.test(query);
    const first = [], second = [], third = [];
    for (const row of everyRow) {
      if (data.ids[row].toLowerCase() === query || (likeId && idOf(row) === query)) first.push(row);
      else if (likeId && (idOf(row) + "-").startsWith(query.replace(/-$/, "") + "-")) second.push(row);
      else if (words.every((word) => lowered[row].includes(word))) third.push(row);
    }
    return [...first, ...second, ...third];
  };
  const close = () => {
    results.hidden = true;
    search.setAttribute("aria-expanded", "false");
    search.removeAttribute("aria-activedescendant");
    active = -1;
  };
  const point = (index) => {
    active = index;
    [...results.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === index)));
    search.setAttribute("aria-activedescendant", "found-" + index);
    results.children[index].scrollIntoView({ block: "nearest" });
  };
  const pick = (row) => {
    close();
    search.value = data.titles[row];
    status.textContent = "";
    choose(row, true);
  };
  const look = () => {
    const all = matches(search.value);
    found = all.slice(0, MOST_FOUND);
    active = -1;
    search.removeAttribute("aria-activedescendant");
    results.replaceChildren(...found.map((row, index) => make("li", {
      role: "option", id: "found-" + index, "aria-selected": "false",
      onmousedown: (event) => { event.preventDefault(); pick(row); },
    }, make("bdi", {}, data.titles[row]), make("span", { class: "where" }, make("bdi", {}, data.ids[row]), " · ", idOf(row)))));
    results.hidden = found.length === 0;
    search.setAttribute("aria-expanded", String(found.length > 0));
    status.textContent = !search.value.trim() ? ""
      : all.length === 0 ? "No item matches." + (data.numItems > data.ids.length ? " This page carries a sample of the catalogue." : "")
        : all.length > found.length ? `${items(all.length)} match; the first ${found.length} are listed.` : `${items(all.length)} found.`;
  };
  search.addEventListener("input", look);
  search.addEventListener("blur", close);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && found.length && !results.hidden) pick(found[Math.max(active, 0)]);
    else if (event.key === "ArrowDown" && found.length) {
      if (results.hidden) look();
      point((active + 1) % found.length);
    } else if (event.key === "ArrowUp" && found.length && !results.hidden) point((active <= 0 ? found.length : active) - 1);
    else return;
    event.preventDefault();
  });

  // ---- choice of tokenizer ----
  document.getElementById("choice").append(make("div", {}, ...data.tokenizers.map((one, index) => {
    const input = make("input", { type: "radio", name: "tokenizer", value: String(index), onchange: () => {
      tokenizer = one;
      path = chosen === null ? [] : codesOf(chosen);
      neighbours();
      draw();
    } });
    input.checked = index === 0;
    return make("label", {}, input, make("span", {}, one.name));
  })));

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

  // The tree is drawn when it comes near: a page of many items opens as fast as one of few.
  app.hidden = false;
  const begin = () => {
    near.disconnect();
    app.removeEventListener("focusin", begin);
    if (columns.children.length) return;
    if (path.length === 0) path = [branches(everyRow, 0)[0][0]];
    draw();
  };
  const near = new IntersectionObserver((seen) => {
    if (seen.some((entry) => entry.isIntersecting)) begin();
  }, { rootMargin: "1000px" });
  near.observe(app);
  app.addEventListener("focusin", begin);  // the Tab key is faster than the observer
})();
