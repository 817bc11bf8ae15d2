// What was decided of every row: kept in this browser at once, taken back step by step.
class Decisions {
  static KINDS = ["drop", "trust"];
  static ABOUT_MANY = ["cluster", "search", "refused"];

  constructor(ledger) {
    this.name = `dece-audit-${ledger}`;
    this.stored = true;
    this.past = [];
    this.read();
  }

  of(id) { return this.known.get(id)?.decision || ""; }

  get size() { return this.known.size; }

  // ids have 16 digits, so that they need nothing between them: 100,000 fit into what a browser stores
  read() {
    this.known = new Map();
    let text = null;
    try { text = localStorage.getItem(this.name); } catch { this.stored = false; }
    const kept = text ? JSON.parse(text) : {};
    this.unsaved = Boolean(kept.unsaved);
    for (const decision of Decisions.KINDS) {
      for (const by of ["row", "all"]) {
        for (const id of (kept[`${decision} ${by}`] || "").match(/.{16}/g) || []) this.known.set(id, { decision, by });
      }
    }
  }

  write() {
    const kept = { unsaved: this.unsaved };
    for (const [id, { decision, by }] of this.known) kept[`${decision} ${by}`] = (kept[`${decision} ${by}`] || "") + id;
    try {
      localStorage.setItem(this.name, JSON.stringify(kept));
      this.stored = true;
    } catch { this.stored = false; }
  }

  saved() {
    this.unsaved = false;
    this.write();
  }

  // changes: [id, {decision, by} or null]; undone together
  change(changes) {
    if (!changes.length) return;
    this.past.push(changes.map(([id]) => [id, this.known.get(id) || null]));
    this.put(changes);
  }

  put(changes) {
    for (const [id, value] of changes) { if (value) this.known.set(id, value); else this.known.delete(id); }
    this.unsaved = true;
    this.write();
  }

  undo() {
    const step = this.past.pop();
    if (step) this.put(step);
    return step;
  }

  decide(id, decision) { this.change([[id, decision ? { decision, by: "row" } : null]]); }

  // What was decided of a row by itself stands, and nothing that is to be dropped becomes trusted because it is
  // among many. Returns how many rows were changed, and how many kept another decision.
  decideAll(ids, decision) {
    const stands = (id) => {
      const old = this.known.get(id);
      return Boolean(old && decision && (old.by === "row" || (decision === "trust" && old.decision === "drop")));
    };
    const changes = ids.filter((id) => !stands(id) && this.of(id) !== decision);
    const kept = ids.filter((id) => stands(id) && this.of(id) !== decision);
    this.change(changes.map((id) => [id, decision ? { decision, by: "all" } : null]));
    return { changed: changes.length, kept: kept.length };
  }

  // Lines of a decisions file; nothing changes where one of them is wrong.
  load(text) {
    const found = new Map();
    text.replace(/^\uFEFF/, "").split("\n").forEach((line, at) => {
      if (!line.trim()) return;
      let entry = null;
      try { entry = JSON.parse(line); } catch { /* said below */ }
      if (!/^[0-9a-f]{16}$/.test(entry?.row) || !Decisions.KINDS.includes(entry.decision)) {
        throw new Error(`Line ${at + 1} is no decision; nothing was loaded.`);
      }
      if ((found.get(entry.row)?.decision || entry.decision) !== entry.decision) {
        throw new Error(`Line ${at + 1}: row ${entry.row} is dropped and trusted; nothing was loaded.`);
      }
      const by = Decisions.ABOUT_MANY.some((name) => name in entry) ? "all" : "row";
      found.set(entry.row, { decision: entry.decision, by });
    });
    this.change([...found]);
    return [...found.keys()];
  }
}
