/** What the label rests on: each concept with what it adds, and the way to correct it. */
import { button, el, name, number, signed } from './dom.js';


const FIRST = 40;
const ROWS = '[role=row][data-name]';

/**
 * @typedef {object} Wishes
 * @property {(known: Record<string, number|null>) => void} correct
 * @property {(unit: string) => void} evidence
 */

export class Concepts {
  /** @param {Narrows.About} about @param {Wishes} wishes */
  constructor(about, wishes) {
    this.about = about;
    this.wishes = wishes;
    /** @type {Map<string, Narrows.UnitInfo>} */
    this.infos = new Map(about.units.map((info) => [info.name, info]));
    /** @type {Map<string, Narrows.Unit>} */
    this.units = new Map();
    /** @type {string[]} in the order shown, which stays while one works */
    this.order = [];
    this.most = 0;
    this.limit = FIRST;
    this.find = '';
    this.active = '';
    this.chosen = '';
    this.field = '';
    this.rows = el('div', { role: 'rowgroup', class: 'body' });
    const open = about.units.some((info) => this.#may(info));
    this.head = el('div', { role: 'row', class: 'concept head' });
    this.grid = el('div', { role: 'grid', class: open ? 'concepts' : 'concepts fixed', 'aria-label': 'Concepts',
      keydown: (/** @type {KeyboardEvent} */ e) => this.#key(e) },
    el('div', { role: 'rowgroup' }, this.head), this.rows);
    this.again = button('Sort again', () => this.sort(), { class: 'plain', hidden: true });
    this.search = el('input', { type: 'search', placeholder: 'Find a concept',
      'aria-label': 'Find a concept', hidden: about.units.length <= 12,
      input: () => {
        this.find = this.search.value.toLowerCase();
        this.draw();
      } });
    this.more = el('p', { class: 'quiet' });
    this.node = el('section', { 'aria-label': 'Concepts' },
      el('div', { class: 'over' }, el('h2', {}, 'What it rests on'), this.search, this.again),
      this.grid, this.more);
  }

  /**
   * Take in the server's word; the order stays, so that nothing moves under the hand.
   * @param {Narrows.Unit[]} units
   * @param {Narrows.Answer} now
   */
  update(units, now) {
    this.units = new Map(units.map((unit) => [unit.name, unit]));
    const sorted = units.map((unit) => unit.name);
    const known = new Set(this.order);
    this.order = [...this.order.filter((key) => this.units.has(key)), ...sorted.filter((key) => !known.has(key))];
    this.sorted = sorted;
    this.now = now;
    const sizes = units.map((unit) => Math.abs(unit.contribution ?? 0));
    this.most = sizes.reduce((a, b) => Math.max(a, b), this.most);
    this.again.hidden = this.order.slice(0, FIRST).every((key, i) => key === sorted[i]);
    this.draw();
  }

  sort() {
    this.order = this.sorted ?? this.order;
    this.most = 0;
    if (this.now) this.update([...this.units.values()], this.now);
    this.active = this.order[0] ?? '';
    this.draw();
    this.focus();
  }

  draw() {
    const held = this.rows.contains(document.activeElement) ? document.activeElement : null;
    const part = held?.getAttribute('data-part') ?? null;
    const fits = this.order.filter((key) => key.toLowerCase().includes(this.find));
    const shown = fits.slice(0, this.limit);
    if (!shown.includes(this.active)) this.active = shown[0] ?? '';
    const truths = [...this.units.values()].some((unit) => unit.truth !== null);
    this.grid.classList.toggle('truths', truths);
    const rival = this.now?.rival ?? null;
    const adds = el('span', { role: 'columnheader', class: 'adds' }, 'adds to ',
      name(this.now?.label ?? ''), ...(rival === null ? [] : [' over ', name(rival)]));
    this.head.replaceChildren(...['concept'].map(column), adds, ...['read', 'you say'].map(column),
      ...(truths ? [column('annotated')] : []));
    this.rows.replaceChildren(...shown.map((key) => this.#row(key, truths)));
    this.#below(fits.length, shown.length);
    if (held) this.focus(part);
  }

  /** @param {number} fits @param {number} shown */
  #below(fits, shown) {
    const parts = [];
    if (fits === 0) parts.push('No concept has this in its name. ');
    if (fits > shown) {
      parts.push(button(`Show ${Math.min(fits - shown, 200)} more of ${number(fits)}`, () => {
        this.limit += 200;
        this.draw();
      }));
    }
    const units = [...this.units.values()];
    if (units.every((unit) => unit.contribution === null)) {
      parts.push('The label does not pass through these: the model reads them beside it. ');
    } else if (units.some((unit) => !unit.exact)) {
      parts.push('What each adds is an attribution along a path: together the score, up to a small error. ');
    }
    if (this.about.groups.length > 0) {
      parts.push('Concepts of a group exclude one another: a yes to one is a no to the rest.');
    }
    this.more.replaceChildren(...parts);
  }

  /** @param {string} key @param {boolean} truths */
  #row(key, truths) {
    const unit = /** @type {Narrows.Unit} */ (this.units.get(key));
    const info = this.infos.get(key);
    const added = unit.contribution ?? 0;
    const adds = signed(unit.contribution, this.most);
    const fill = el('i', { class: added < 0 ? 'fill against' : 'fill for' });
    fill.style.width = `${(50 * Math.abs(added)) / (this.most || 1)}%`;
    const title = button(`Evidence for ${key}`, () => this.choose(key),
      { class: 'plain title', tabindex: -1, 'data-part': 'title', 'aria-pressed': String(this.chosen === key),
        'aria-label': null, title: key.length > 40 ? key : 'Show the evidence' }, name(key));
    const row = el('div', { role: 'row', class: 'concept', 'data-name': key,
      tabindex: key === this.active ? 0 : -1, focus: () => this.#enter(key) },
    el('span', { role: 'rowheader' }, title),
    el('span', { role: 'gridcell', class: 'bar' },
      el('i', { class: 'track', 'aria-hidden': 'true' }, fill),
      el('b', { class: /[1-9]/.test(adds) ? 'n' : 'n zero' }, adds)),
    this.#value(unit, info), this.#control(unit, info),
    truths && el('span', { role: 'gridcell', class: 'truth' }, spoken(unit.truth, info)));
    row.classList.toggle('changed', unit.corrected);
    row.classList.toggle('moved', !unit.corrected && unit.now !== unit.value);
    row.classList.toggle('chosen', this.chosen === key);
    return row;
  }

  /** @param {Narrows.Unit} unit @param {Narrows.UnitInfo|undefined} info */
  #value(unit, info) {
    const cell = el('span', { role: 'gridcell', class: 'value' });
    const text = (/** @type {number|null} */ value) =>
      (info?.spoken === 'probability' ? value?.toFixed(2) ?? '–' : number(value));
    if (unit.now !== unit.value) cell.append(el('s', {}, text(unit.value)), ' → ');
    cell.append(text(unit.now));
    return cell;
  }

  /** @param {Narrows.Unit} unit @param {Narrows.UnitInfo|undefined} info */
  #control(unit, info) {
    const cell = el('span', { role: 'gridcell', class: 'control' });
    if (!info || !this.#may(info)) return cell;
    if (info.spoken === 'number' || this.field === unit.name) cell.append(this.#number(unit, info));
    else {
      for (const [text, value] of Object.entries({ no: info.low ?? 0, yes: info.high ?? 1 })) {
        const on = unit.corrected && unit.now === value;
        cell.append(button(`${text}: ${unit.name}`, () => this.#say(unit.name, on ? null : value),
          { tabindex: -1, class: 'say', 'data-part': text, 'aria-pressed': String(on), title: null }, text));
      }
    }
    if (unit.corrected) {
      cell.append(button(`Take back: ${unit.name}`, () => this.#say(unit.name, null),
        { tabindex: -1, class: 'plain', 'data-part': 'back', title: 'Take the correction back' }, '↺'));
    }
    return cell;
  }

  /** @param {Narrows.Unit} unit @param {Narrows.UnitInfo} info */
  #number(unit, info) {
    const value = unit.now === null ? '' : String(Number(unit.now.toPrecision(4)));
    const field = el('input', { type: 'number', tabindex: -1, 'data-part': 'field', value,
      step: info.whole ? 1 : 'any', min: info.low, max: info.high,
      'aria-label': `Value of ${unit.name}`,
      change: () => {
        this.field = '';
        if (field.value === '' || !field.checkValidity()) field.reportValidity();
        else if (field.value !== value) this.#say(unit.name, field.valueAsNumber);
      },
      keydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === 'Escape') this.field = '';
        if (event.key !== 'Escape' && (event.key !== 'Enter' || !field.checkValidity())) return;
        event.stopPropagation();
        this.focus();
        if (event.key === 'Escape' || field.value === value) this.draw();
      } });
    return field;
  }

  /** @param {string} key @param {number|null} value */
  #say(key, value) {
    this.active = key;
    this.wishes.correct({ [key]: value });
  }

  /** @param {string} key */
  choose(key) {
    this.chosen = key;
    this.active = key;
    for (const row of this.rows.querySelectorAll(ROWS)) {
      const on = row.getAttribute('data-name') === key;
      row.classList.toggle('chosen', on);
      row.querySelector('.title')?.setAttribute('aria-pressed', String(on));
    }
    this.wishes.evidence(key);
  }

  /** @param {string} key */
  #enter(key) {
    this.active = key;
    for (const row of this.rows.querySelectorAll(ROWS)) {
      row.setAttribute('tabindex', row.getAttribute('data-name') === key ? '0' : '-1');
    }
  }

  /** Put the focus on the active row, or on a part of it.
   * @param {string|null} [part]
   */
  focus(part = null) {
    const row = this.#active();
    const inner = part && row?.querySelector(`[data-part="${part}"]`);
    const goal = inner || row;
    if (goal instanceof HTMLElement) goal.focus();
  }

  #active() {
    return [...this.rows.querySelectorAll(ROWS)]
      .find((row) => row.getAttribute('data-name') === this.active);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key, target } = event;
    const row = target instanceof Element ? target.closest(ROWS) : null;
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[key];
    const side = { ArrowRight: 1, ArrowLeft: -1 }[key];
    const writing = target instanceof HTMLInputElement;
    if (writing && (!step || !Number.isFinite(step))) return;
    if (step) this.#step(row, step);
    else if (side) this.#within(row, side);
    else if (key === 'Enter' && target === row) this.choose(this.active);
    else if (!this.#word(key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Narrows.UnitInfo|undefined} info */
  #may(info) {
    return this.about.can.correct && info !== undefined && info.correctable !== false;
  }

  /** @param {string} key */
  #word(key) {
    const unit = this.units.get(this.active);
    const info = this.infos.get(this.active);
    if (!unit || !info || !this.#may(info)) return false;
    if (info.spoken === 'probability' && 'y1n0'.includes(key)) {
      this.#say(unit.name, 'y1'.includes(key) ? info.high ?? 1 : info.low ?? 0);
    } else if (key === 'Backspace' || key === 'Delete') {
      if (unit.corrected) this.#say(unit.name, null);
    } else if (key === 'v') {
      this.field = unit.name;
      this.draw();
      this.focus('field');
    } else return false;
    return true;
  }

  /** @param {Element} row @param {number} step */
  #step(row, step) {
    const rows = [...this.rows.children];
    const goal = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(row) + step))];
    if (goal instanceof HTMLElement) goal.focus();
  }

  /** @param {Element} row @param {number} step */
  #within(row, step) {
    const stops = [row, ...row.querySelectorAll('[data-part]')];
    const at = stops.indexOf(/** @type {Element} */ (document.activeElement));
    const goal = stops[Math.max(0, Math.min(stops.length - 1, at + step))];
    if (goal instanceof HTMLElement) goal.focus();
  }
}

/** @param {string} text */
function column(text) {
  return el('span', { role: 'columnheader' }, text);
}

/** @param {number|null} value @param {Narrows.UnitInfo|undefined} info */
function spoken(value, info) {
  if (value === null) return '';
  if (info?.spoken !== 'probability') return number(value);
  return value === (info.high ?? 1) ? 'yes' : value === (info.low ?? 0) ? 'no' : number(value);
}
