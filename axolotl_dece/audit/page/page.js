(async () => {
  const PAGE_SIZE = 25;
  const SHOWN_PLACES = 5;
  const content = JSON.parse(await unpack("content"));
  const decisions = new Decisions(content.ledger);
  const template = new Set(content.template);
  const groups = new Map(content.clusters.map((group) => [group.number, group]));
  const rowOf = new Map(content.rows.map((row) => [row.id, row]));
  const [drawn, rare] = [new Set(content.drawn), new Set(content.rare)];
  const groupsOf = new Map();
  for (const group of content.clusters) for (const id of group.ids || []) groupsOf.set(id, [...(groupsOf.get(id) || []), group]);
  const toDecide = [...new Set([...groupsOf.keys(), ...content.rare])];
  const texts = content.rows.map((row) => `${row.id} ${row.places.join(" ")} ${row.runs.map((run) => run[3]).join("")}`.toLowerCase());
  const alike = new Map();
  for (const row of content.rows) {
    if (row.refused) alike.set(row.refused, [...(alike.get(row.refused) || []), row.id]);
  }
  const alikeTo = (row) => alike.get(row.refused) || [row.id];

  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  function counted(ids) {
    const copies = ids.reduce((sum, id) => sum + (rowOf.get(id)?.copies || content.copies[id] || 1), 0);
    return plural(ids.length, "row") + (copies > ids.length ? `, ${copies.toLocaleString("en")} copies` : "");
  }

  const say = (text) => { byId("said").textContent = text; };

  // ---- what is decided

  const DONE = { drop: "to drop", trust: "to trust", "": "undecided" };

  function decideAll(ids, decision) {
    const { changed, kept } = decisions.decideAll(ids, decision);
    say(`${plural(changed, "row")} now ${DONE[decision]}` + (kept ? `; ${plural(kept, "row")} kept another decision` : ""));
    refresh();
  }

  function decideItem(item, decision, wide) {
    if (!item) { say("Go to a group or a row first: j"); return; }
    const group = groups.get(Number(item.dataset.group));
    const row = rowOf.get(item.dataset.row);
    if (group && !group.ids) say(`Too many rows for this page: use --drop or --trust cluster:${group.number}`);
    else if (group) decideAll(group.ids, decision);
    else if (wide) decideAll(alikeTo(row), decision);
    else {
      decisions.decide(row.id, decision);
      say(`Row ${row.id} ${DONE[decision]}`);
      refresh();
    }
  }

  function undo() {
    const step = decisions.undo();
    say(step ? `Undone: ${plural(step.length, "row")}` : "Nothing to undo");
    refresh();
  }

  function save() {
    const lines = [...decisions.known].map(([id, { decision, by }]) => {
      const line = { row: id, decision };
      const [group] = groupsOf.get(id) || [];
      const row = rowOf.get(id);
      if (row) Object.assign(line, { index: row.index, copies: row.copies }, row.places.length ? { places: row.places } : {});
      return by === "all" && group ? { ...line, cluster: group.number, span: group.span, cue: group.cues[0][0] } : line;
    });
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([lines.map((line) => JSON.stringify(line) + "\n").join("")]));
    link.download = "decisions.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
    decisions.saved();
    say(`${plural(lines.length, "decision")} saved`);
    refresh();
  }

  async function load(event) {
    const [file] = event.target.files;
    if (!file) return;
    try {
      const ids = decisions.load(await file.text());
      const unknown = ids.filter((id) => !rowOf.has(id) && !groupsOf.has(id)).length;
      say(`${plural(ids.length, "decision")} loaded` + (unknown ? `; ${plural(unknown, "row")} of them not on this page` : ""));
    } catch (error) { say(error.message); }
    event.target.value = "";
    refresh();
  }

  function state(ids) {
    const of = (decision) => ids.filter((id) => decisions.of(id) === decision);
    const parts = Decisions.KINDS.map((kind) => [kind, of(kind)]).filter(([, those]) => those.length);
    return parts.map(([kind, those]) => `${those.length === ids.length ? "all" : plural(those.length, "row")} ${DONE[kind]}`).join(", ");
  }

  function refresh() {
    for (const item of document.querySelectorAll(".item")) {
      const ids = item.dataset.row ? [item.dataset.row] : groups.get(Number(item.dataset.group)).ids || [];
      const kinds = new Set(ids.map((id) => decisions.of(id)));
      const common = kinds.size === 1 ? [...kinds][0] : "";
      item.dataset.decision = common;
      item.querySelector(".state").textContent = (item.dataset.row ? DONE[common] : state(ids)) || "undecided";
      for (const button of item.querySelectorAll("button[data-decision]")) {
        button.setAttribute("aria-pressed", String(button.dataset.decision === common));
      }
    }
    const done = toDecide.filter((id) => decisions.of(id)).length;
    const all = [...decisions.known.keys()];
    const chosen = Decisions.KINDS.map((kind) => [all.filter((id) => decisions.of(id) === kind), DONE[kind]]);
    byId("progress").textContent = `${done.toLocaleString("en")} of ${toDecide.length.toLocaleString("en")} decided; `
      + chosen.map(([ids, done_]) => `${counted(ids)} ${done_}`).join("; ");
    byId("meter").value = toDecide.length ? done / toDecide.length : 1;
    byId("save").disabled = decisions.size === 0;
    byId("save").textContent = `Save decisions.jsonl${decisions.unsaved && decisions.size ? " (unsaved)" : ""}`;
    byId("undo").disabled = decisions.past.length === 0;
    if (!decisions.stored) say("This browser cannot keep the decisions: save them before you leave");
  }

  // ---- groups and rows as items

  function button(text, act, data = {}) {
    const made = element("button", text);
    made.type = "button";
    Object.assign(made.dataset, data);
    made.addEventListener("click", act);
    return made;
  }

  function makeItem(name, kind) {
    const item = element("article", undefined, `item ${kind}`);
    item.tabIndex = -1;
    const head = element("div", undefined, "head");
    const choice = element("div", undefined, "choice");
    choice.append(element("span", "", "state"));
    for (const [decision, text] of [["drop", "Drop"], ["trust", "Trust"], ["", "Clear"]]) {
      const made = button(text, () => { current = item; decideItem(item, decision, false); }, decision ? { decision } : {});
      made.setAttribute("aria-label", `${text} ${name}`);
      choice.append(made);
    }
    item.setAttribute("aria-label", name);
    item.addEventListener("focusin", () => { current = item; });
    item.append(head, choice);
    return [item, head, choice];
  }

  function groupItem(group) {
    const [item, head, choice] = makeItem(`group ${group.number}`, "group");
    item.dataset.group = group.number;
    const title = element("h3", `${group.number}. `);
    title.append(element("mark", group.payload, "payload"), ` ${group.count}`);
    head.append(title);
    const cues = element("p", "goes with ");
    group.cues.forEach(([text, inside, reach], at) => {
      const mark = element("mark", text, "cue");
      mark.title = `in ${percent(inside)} of its rows; ${percent(reach)} of the rows with it were refused`;
      cues.append(at ? ", " : "", mark, at ? "" : ` (${mark.title})`);
    });
    head.append(cues);
    const others = group.spans.filter(([text]) => text !== group.payload).map(([text, rows]) => `${text} (${plural(rows, "row")})`);
    if (others.length) head.append(element("p", `refused: ${others.join("; ")}`, "soft"));
    if (group.shares.length) {
      const visits = group.shares.length > 1 ? " at the first visit, the last but one, the last" : "";
      const moved = `withheld${visits}: ${group.shares.map(percent).join(", ")}`;
      head.append(element("p", `${moved}; of all other words: ${group.others.map(percent).join(", ")}. `
        + `log10 p ${group.log10_p.toFixed(0)}, weight ${group.weight.toFixed(0)}`, "soft"));
    }
    const example = rowOf.get(group.example);
    if (example) {
      const box = element("details");
      box.open = true;
      const text = rowText(example, [group], template);
      text.tabIndex = 0; // it may have to be scrolled
      text.setAttribute("role", "group");
      text.setAttribute("aria-label", `example of group ${group.number}`);
      box.append(element("summary", "an example"), text);
      item.append(box);
    }
    choice.append(button(`Show its rows`, () => showGroup(group.number)));
    return item;
  }

  function rowItem(row) {
    const [item, head, choice] = makeItem(`row ${row.id}`, "row");
    item.dataset.row = row.id;
    const where = row.places.slice(0, SHOWN_PLACES).join(", ") || `row ${row.index} of the set`;
    const about = [where + (row.places.length > SHOWN_PLACES ? ", …" : ""), `score ${row.score.toFixed(2)}`];
    if (row.copies > 1) about.splice(1, 0, `${row.copies} copies`);
    if (row.clusters.length) about.push(`group ${row.clusters.join(", ")}`);
    if (rare.has(row.id)) about.push("rare");
    head.append(element("code", row.id), ` ${about.join(" · ")}`);
    const same = alikeTo(row);
    if (same.length > 1) {
      for (const [decision, text] of [["drop", "Drop"], ["trust", "Trust"]]) {
        choice.append(button(`${text} ${same.length} alike`, () => { current = item; decideItem(item, decision, true); }));
      }
    }
    item.append(rowText(row, row.clusters.map((number) => groups.get(number)), template));
    return item;
  }

  // ---- which rows are found, and which page of them is drawn

  let found = [];
  let page = 0;
  let current = null;

  const kinds = {
    all: () => true,
    look: (row) => row.clusters.length > 0 || rare.has(row.id),
    rare: (row) => rare.has(row.id),
    drawn: (row) => drawn.has(row.id),
    undecided: (row) => !decisions.of(row.id),
    drop: (row) => decisions.of(row.id) === "drop",
    trust: (row) => decisions.of(row.id) === "trust",
  };

  function filter() {
    const wanted = byId("search").value.toLowerCase();
    const kind = byId("show").value;
    const fits = kinds[kind] || ((row) => row.clusters.includes(Number(kind)));
    found = content.rows.filter((row, at) => texts[at].includes(wanted) && fits(row));
    // nobody has read what was drawn and not shown
    document.querySelector('[data-all="trust"]').disabled = kind === "drawn";
    showPage(0);
  }

  const pages = () => Math.max(1, Math.ceil(found.length / PAGE_SIZE));

  const shown = () => found.slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);

  function showPage(number) {
    page = Math.min(Math.max(number, 0), pages() - 1);
    if (current?.dataset.row) current = null;
    byId("rows").replaceChildren(...shown().map(rowItem));
    const left = content.total > content.rows.length ? ` The set has ${plural(content.total, "row")}, this page ${content.rows.length.toLocaleString("en")}.` : "";
    byId("count").textContent = `${counted(found.map(({ id }) => id))} found.${left}`;
    byId("place").textContent = `page ${page + 1} of ${pages()}`;
    byId("back").disabled = page === 0;
    byId("on").disabled = page === pages() - 1;
    refresh();
  }

  function showGroup(number) {
    byId("show").value = number;
    byId("search").value = "";
    filter();
    go(byId("rows").firstElementChild);
  }

  function allFound(decision) {
    if (decision === "trust" && byId("show").value === "drawn") {
      say("Only rows that were on the screen can be trusted: use “Trust the undecided rows of this page”");
    } else decideAll(found.map(({ id }) => id), decision);
  }

  // ---- moving by keys

  function go(item) {
    if (!item) return;
    current = item;
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: item.offsetHeight > innerHeight / 2 ? "start" : "nearest" });
  }

  function step(by) {
    const items = [...document.querySelectorAll(".item")];
    const at = items.indexOf(current);
    const next = at < 0 ? (by > 0 ? 0 : items.length - 1) : at + by;
    if (next >= items.length && page < pages() - 1) { showPage(page + 1); go(byId("rows").firstElementChild); }
    else if (by < 0 && page > 0 && items[at] === byId("rows").firstElementChild) { showPage(page - 1); go(byId("rows").lastElementChild); }
    else go(items[next]);
  }

  function nextUndecided() {
    const isOpen = (group) => group.ids?.some((id) => !decisions.of(id));
    const cards = [...byId("groups").children];
    const start = current?.dataset.row ? cards.length : cards.indexOf(current) + 1;
    const group = cards.slice(start).find((card) => isOpen(groups.get(Number(card.dataset.group))));
    if (group) { go(group); return; }
    const at = current?.dataset.row ? found.indexOf(rowOf.get(current.dataset.row)) : -1;
    const after = [...found.slice(at + 1), ...found.slice(0, at + 1)];
    const row = after.find(({ id }) => !decisions.of(id));
    if (!row) { say("Nothing undecided among the rows found"); return; }
    const place = found.indexOf(row);
    if (Math.floor(place / PAGE_SIZE) !== page) showPage(Math.floor(place / PAGE_SIZE));
    go(byId("rows").children[place % PAGE_SIZE]);
  }

  const decideKey = (decision, wide) => () => decideItem(current, decision, wide);

  const keys = {
    j: () => step(1), k: () => step(-1), n: nextUndecided,
    d: decideKey("drop", false), t: decideKey("trust", false), c: decideKey("", false),
    D: decideKey("drop", true), T: decideKey("trust", true), C: decideKey("", true),
    x: () => allFound("drop"), y: () => allFound("trust"), u: undo,
    "]": () => { showPage(page + 1); go(byId("rows").firstElementChild); },
    "[": () => { showPage(page - 1); go(byId("rows").firstElementChild); },
    "/": () => byId("search").focus(), f: () => byId("template").click(),
    s: () => { if (decisions.size) save(); }, "?": () => byId("keys").showModal(),
    Enter: () => { if (current?.dataset.group) showGroup(Number(current.dataset.group)); },
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    if (event.key === "Escape" && target === byId("search")) {
      event.preventDefault(); // or the browser would empty the search, and "all found" would be all rows
      target.blur();
      return;
    }
    if (target.matches?.("input, select, textarea")) return;
    if (event.key === "Enter" && target.matches?.("button, summary, label")) return;
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // ---- start

  const choices = [["look", "to look at"], ["rare", "rare"], ["drawn", "to read"], ["all", "all"], ["undecided", "undecided"],
    ["drop", "to drop"], ["trust", "to trust"], ...content.clusters.map(({ number }) => [number, `group ${number}`])];
  byId("show").append(...choices.map(([value, text]) => Object.assign(element("option", text), { value })));
  byId("groups").append(...content.clusters.map(groupItem));
  byId("none").hidden = content.clusters.length > 0;
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("show").addEventListener("change", filter);
  byId("search").addEventListener("input", filter);
  byId("template").addEventListener("change", () => document.body.classList.toggle("unfolded", byId("template").checked));
  for (const made of document.querySelectorAll("[data-all]")) made.addEventListener("click", () => allFound(made.dataset.all));
  byId("rest").addEventListener("click", () =>
    decideAll(shown().map(({ id }) => id).filter((id) => !decisions.of(id)), "trust"));
  byId("back").addEventListener("click", keys["["]);
  byId("on").addEventListener("click", keys["]"]);
  byId("undo").addEventListener("click", undo);
  byId("save").addEventListener("click", save);
  byId("load").addEventListener("change", load);
  byId("help").addEventListener("click", keys["?"]);
  addEventListener("beforeunload", (event) => { if (decisions.unsaved && decisions.size) event.preventDefault(); });
  addEventListener("storage", (event) => { if (event.key === decisions.name) { decisions.read(); refresh(); } });
  filter();
  document.body.dataset.ready = "yes";
})();
