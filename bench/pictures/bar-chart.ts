/**
 * Bars with their numbers, one to each system, all from 0.
 */
import { element, escaped } from './markup.ts';
import { shortNumber } from './scale.ts';

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** What is said behind the number. */
  readonly note: string;
}

const WIDTH = 940;
const ROW = 24;
const BAR = 15;
const NAME_WIDTH = 170;
const NOTE_WIDTH = 250;
const TITLE = 26;

export function barChart(title: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const room = WIDTH - NAME_WIDTH - NOTE_WIDTH;
  const rows = bars.map(({ name, value, note }, index) => {
    const y = TITLE + index * ROW;
    const width = Math.max(1, (value / most) * room);
    const text = `${shortNumber(value)}${note === '' ? '' : ` · ${note}`}`;
    const middle = y + BAR / 2 + 4;
    const start = { x: NAME_WIDTH - 8, y: middle, class: 'label', 'text-anchor': 'end' };
    return element(
      'g',
      { class: index === 0 ? 'ours' : 'theirs' },
      element('text', start, escaped(name)) +
        element('rect', { x: NAME_WIDTH, y, width, height: BAR, rx: 2 }) +
        element(
          'text',
          { x: NAME_WIDTH + width + 8, y: middle, class: 'label' },
          escaped(text),
        ),
    );
  });
  const box = `0 0 ${WIDTH} ${TITLE + bars.length * ROW}`;
  const heading = element('text', { x: 0, y: 16, class: 'title' }, escaped(title));
  const svg = { viewBox: box, role: 'img', 'aria-label': title };
  return element('figure', { class: 'wide' }, element('svg', svg, heading + rows.join('')));
}
