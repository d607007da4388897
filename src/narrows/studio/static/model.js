/** The analyst's page: tables, curves, the weights and their edits, the model card. */
import * as api from './api.js';
import { button, cell, definitions, el, name, percent, table } from './dom.js';
import { figure } from './plot.js';
import { weightsView } from './weights.js';

/** @param {import('./frame.js').Frame} frame @param {Narrows.About} about @returns {Promise<Narrows.Page>} */
export async function modelPage(frame, about) {
  const failed = (/** @type {unknown} */ error) => frame.failed(error);
  /** @type {[Narrows.Model, Narrows.Weights|{reason: string}, void]} */
  const [model, weights] = await Promise.all([
    api.get(api.path(about.id, '/model')), api.get(api.path(about.id, '/weights')), frame.load()]);
  const shown = weightsView(about, weights, failed);
  const accuracy = frame.runs.find((run) => run.id === about.id)?.accuracy ?? null;
  const node = el('section', { class: 'page model-page' },
    el('div', { class: 'over' }, el('h1', { tabindex: -1 }, name(about.title)),
      button('Take the report away', () => void api.download(api.path(about.id, '/report.html')).catch(failed))),
    el('p', { class: 'quiet' }, name(about.subtitle)),
    accuracy !== null && el('p', { class: 'headline' }, `Right on ${percent(accuracy, 1)} of the test rows.`),
    ...[...about.notes, ...model.notes].map((text) => el('p', { class: 'note' }, name(text))),
    el('div', { class: 'tables' }, ...model.tables.map((part) => section(part.title,
      table(part.title, part.header, part.rows.map((line) => line.map((value) => name(cell(value)))))))),
    model.plots.length > 0 && section('Curves', el('div', { class: 'plots' }, ...model.plots.map(figure))),
    section('Weights', shown.node),
    section('Model card', definitions(model.card)));
  return { node, title: `Model ${about.title}`, moved: shown.reload, refresh: shown.reload,
    key: (pressed) => {
      const goal = pressed === 'c' && node.querySelector('.weights td[tabindex="0"]');
      if (goal instanceof HTMLElement) goal.focus();
      return Boolean(goal);
    } };
}

/** @param {string} title @param {HTMLElement} node */
function section(title, node) {
  return el('section', { 'aria-label': title }, el('h2', {}, name(title)), node);
}
