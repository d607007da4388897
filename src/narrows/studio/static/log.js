/** Everything that was done in a run, newest first, and the files to take away. */
import * as api from './api.js';
import { caseHash } from './cases.js';
import { button, cell, clock, count, el, name } from './dom.js';
import { LongList } from './list.js';

/** @type {Record<string, string>} */
const KINDS = {
  correction: 'corrected', edit: 'edited', note: 'noted', disagreement: 'disagreed',
  undo: 'undone', redo: 'redone', import: 'imported',
};

/** @param {import('./frame.js').Frame} frame @param {Narrows.About} about @returns {Narrows.Page} */
export function logPage(frame, about) {
  const failed = (/** @type {unknown} */ error) => frame.failed(error);
  const total = el('span', { class: 'quiet', role: 'status' });
  /** @type {LongList<Narrows.Event>} */
  const rows = new LongList({
    label: 'Log', kind: 'log', empty: 'Nothing has been done yet.',
    columns: ['when', 'what', 'case', 'concept', 'from → to', 'label', 'who'],
    load: async (offset, limit, signal) => {
      /** @type {{total: number, events: Narrows.Event[]}} */
      const found = await api.get(api.path(about.id, `/log${api.query({ offset, limit })}`), signal);
      return { total: found.total, items: found.events };
    },
    cells, failed,
    tint: (item) => (item.undone ? 'gone' : ''),
    href: (item) => (item.row === null ? null : caseHash(about.id, item.split ?? '', item.row)),
    counted: (n) => { total.textContent = count(n, 'act'); },
  });
  const again = () => void rows.reload();
  const take = (/** @type {string} */ label, /** @type {string} */ rest) =>
    button(label, () => void api.download(api.path(about.id, rest)).catch(failed));
  const file = el('input', { type: 'file', accept: '.csv,text/csv', class: 'unseen',
    tabindex: -1, 'aria-hidden': 'true',
    change: async () => {
      try {
        const csv = await file.files?.[0]?.text();
        file.value = '';
        if (csv === undefined) return;
        const done = await api.post(api.path(about.id, '/corrections/import'), { csv });
        frame.say(`${count(done.events, 'correction')} taken over`);
        again();
      } catch (error) {
        failed(error);
      }
    } });
  const node = el('section', { class: 'page log-page' }, el('h1', { class: 'unseen', tabindex: -1 }, 'Log'),
    el('div', { class: 'bar' },
      button('Undo', () => void frame.move('undo')), button('Redo', () => void frame.move('redo')),
      take('↓ Log', '/log.csv'), take('↓ Labels for narrows fit', '/corrections.csv'),
      take('↓ Corrections', '/corrections.csv?form=list'),
      button('↑ Take corrections over', () => file.click()), file, total), rows.node);
  return { node, title: 'Log', tall: true, shown: again, refresh: again, moved: again, leave: () => rows.close() };
}

/** @param {Narrows.Cell} before @param {Narrows.Cell} after */
function changed(before, after) {
  const start = before === null ? [] : [name(cell(before)), ' → '];
  return [...start, after === null ? 'taken back' : name(cell(after))];
}

/** @param {Narrows.Event} item */
function cells(item) {
  const moved = item.kind === 'undo' || item.kind === 'redo';
  const text = item.text ?? (item.unit === null && !moved ? item.after : null);
  const change = item.unit === null ? [text === null ? '' : name(text)] : changed(item.before, item.after);
  const turned = item.label_after !== null && item.label_before !== item.label_after;
  return [
    el('span', { class: 'quiet' }, clock(item.time)), KINDS[item.kind] ?? name(item.kind),
    item.id === null ? '' : name(item.id),
    item.unit === null ? '' : el('span', {}, name(item.unit), item.label && [' for ', item.label].join('')),
    el('span', {}, ...change),
    turned ? el('span', {}, el('s', {}, name(item.label_before ?? '–')), ' → ',
      name(item.label_after, 'strong')) : name(item.label_after ?? ''),
    name(item.who ?? ''),
  ];
}
