/**
 * Curves over an axis. Colours are classes, so that the page decides them for light and dark.
 */
import { element, escaped, rounded } from './markup.ts';
import { type Scale, type ScaleKind, scaleOf, shortNumber } from './scale.ts';

export interface Series {
  readonly name: string;
  /** Abscissa and ordinate, in their order along the axis. */
  readonly points: readonly (readonly [number, number])[];
}

export interface LineChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xScale: ScaleKind;
  readonly yScale: ScaleKind;
  readonly series: readonly Series[];
}

/** Of the page's colours. */
export const SERIES_MAX = 7;

const WIDTH = 460;
const HEIGHT = 250;
const LEFT = 52;
const RIGHT = 24;
const TOP = 30;
const BOTTOM = 40;
const INNER_WIDTH = WIDTH - LEFT - RIGHT;
const INNER_HEIGHT = HEIGHT - TOP - BOTTOM;
const POINT_RADIUS = 3;
/** Beyond these many points a curve needs no dots. */
const DOTS_MAX = 24;

export function lineChart(chart: LineChart): string {
  const points = chart.series.flatMap((series) => series.points);
  const x = scaleOf(
    chart.xScale,
    points.map(([value]) => value),
    INNER_WIDTH,
  );
  const y = scaleOf(
    chart.yScale,
    points.map(([, value]) => value),
    INNER_HEIGHT,
  );
  const place = ([left, up]: readonly [number, number]): readonly [number, number] => [
    LEFT + x.at(left),
    TOP + INNER_HEIGHT - y.at(up),
  ];
  const svg = element(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': chart.title },
    [
      element('text', { x: LEFT, y: 18, class: 'title' }, escaped(chart.title)),
      ...grid(y),
      ...axis(x),
      label(chart.xLabel, LEFT + INNER_WIDTH / 2, HEIGHT - 6, 'middle'),
      label(chart.yLabel, WIDTH - RIGHT, 18, 'end'),
      ...chart.series.map((series, index) => curve(series, index, place, chart)),
    ].join(''),
  );
  return element('figure', {}, svg + legend(chart.series));
}

function grid(y: Scale): readonly string[] {
  return y.ticks.map(({ value, text }) => {
    const at = TOP + INNER_HEIGHT - y.at(value);
    const line = { x1: LEFT, x2: LEFT + INNER_WIDTH, y1: at, y2: at, class: 'grid' };
    return element('line', line) + label(text, LEFT - 6, at + 4, 'end');
  });
}

function axis(x: Scale): readonly string[] {
  const bottom = TOP + INNER_HEIGHT;
  const line = { x1: LEFT, x2: LEFT + INNER_WIDTH, y1: bottom, y2: bottom, class: 'axis' };
  return [
    element('line', line),
    ...x.ticks.map(({ value, text }) => label(text, LEFT + x.at(value), bottom + 16, 'middle')),
  ];
}

function label(text: string, x: number, y: number, anchor: 'end' | 'middle'): string {
  return element('text', { x, y, class: 'label', 'text-anchor': anchor }, escaped(text));
}

function curve(
  { name, points }: Series,
  index: number,
  place: (point: readonly [number, number]) => readonly [number, number],
  { xScale }: LineChart,
): string {
  const places = points.map(place);
  const path = places.map(([left, up]) => `${rounded(left)},${rounded(up)}`).join(' ');
  const dots = points.length > DOTS_MAX ? [] : points;
  return element(
    'g',
    { class: `series-${(index % SERIES_MAX) + 1}` },
    [
      element('polyline', { points: path, class: 'curve' }),
      ...dots.map((point, number) => {
        const [cx, cy] = places[number] ?? [0, 0];
        const where = xScale === 'percentile' ? `${point[0] * 100} %` : shortNumber(point[0]);
        const said = element(
          'title',
          {},
          escaped(`${name}: ${shortNumber(point[1])} at ${where}`),
        );
        return element('circle', { cx, cy, r: POINT_RADIUS }, said);
      }),
    ].join(''),
  );
}

/** Names stand outside the picture, where they hide no curve. */
function legend(series: readonly Series[]): string {
  const names = series.map(({ name }, index) =>
    element('li', { class: `series-${(index % SERIES_MAX) + 1}` }, escaped(name)),
  );
  return element('ul', { class: 'legend' }, names.join(''));
}
