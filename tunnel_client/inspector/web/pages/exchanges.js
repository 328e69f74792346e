// All rows that the page knows of, in the order of their requests; what shows them asks for those
// that pass the filter. Between two runs of the client stands a line: its numbers begin anew, and
// what came before it is here to be read, and cannot be looked into any more.

// Those of runs that are over make room; the client itself keeps half as many.
const KEPT_MAX = 20_000;

export class Exchanges {
  #rows = [];
  #byId = new Map();
  #run = null;
  #shown = null;
  #passes = () => true;

  /** Rows of earlier runs stay, under nothing; a line with the time stands before the new ones. */
  begin(run, time) {
    if (this.#run !== null) this.#rows.push({ line: `New run of the client, ${time}`, key: run });
    this.#run = run;
    this.#byId.clear();
    this.#shown = null;
  }

  /** Take rows, new or changed ones. Returns how many are new. */
  take(rows) {
    let added = 0;
    for (const row of rows) {
      const known = this.#byId.get(row.id);
      if (known) {
        Object.assign(known, row);
        continue;
      }
      added += 1;
      row.key = `${this.#run}/${row.id}`;
      row.run = this.#run;
      this.#byId.set(row.id, row);
      this.#insert(row);
    }
    if (rows.length) this.#shown = null;
    return added;
  }

  /** The client keeps none before this one any more. */
  dropBefore(firstId) {
    const gone = (row) => row.run === this.#run && !row.line && row.id < firstId;
    const excess = this.#rows.length - KEPT_MAX;
    if (!this.#rows.some(gone) && excess <= 0) return;
    this.#rows = this.#rows.filter((row, at) => at >= excess && !gone(row));
    for (const id of this.#byId.keys()) if (id < firstId) this.#byId.delete(id);
    this.#shown = null;
  }

  /** The client has told all anew: what it does not tell is gone. */
  forgetRun() {
    this.#rows = this.#rows.filter((row) => row.run !== this.#run);
    this.#byId.clear();
    this.#shown = null;
  }

  /** Show none of the runs that are over. */
  forgetEarlier() {
    this.#rows = this.#rows.filter((row) => row.run === this.#run && !row.line);
    this.#shown = null;
  }

  /** Show those that pass. Lines between runs always do. */
  filter(passes) {
    this.#passes = passes;
    this.#shown = null;
  }

  get shown() {
    this.#shown ??= this.#rows.filter((row) => row.line || this.#passes(row));
    return this.#shown;
  }

  get run() {
    return this.#run;
  }

  /** Of this run. */
  get count() {
    return this.#byId.size;
  }

  get(id) {
    return this.#byId.get(id);
  }

  /** The newest comes last nearly always; one that changed while it was asked for may not. */
  #insert(row) {
    let at = this.#rows.length;
    while (at > 0 && this.#rows[at - 1].run === this.#run && this.#rows[at - 1].id > row.id) at -= 1;
    this.#rows.splice(at, 0, row);
  }
}
