/**
 * Verdicts as one page for people who are no engineers: what was found, what it means, what was
 * looked at and what was not. The page asks nothing of the network and runs no script, and all that
 * came with evidence is text in it.
 */
import type { Check, RefusalKind, Verdict } from '../../attestation/verdict.ts';
import { toHex } from '../../base/portable-bytes.ts';
import { VERSION } from '../../base/version.ts';
import { leavesCodeOpen } from './open-code.ts';

export interface HtmlReport {
  readonly judged: readonly {
    readonly subject: { readonly name: string };
    readonly verdict: Verdict;
  }[];
  readonly policyName: string;
  readonly notes: readonly string[];
  readonly bundleDigest?: string;
}

const MEANINGS: Readonly<Record<RefusalKind, string>> = {
  malformed:
    'What was handed in is not evidence, or it is damaged. Nothing can be said about the machine.',
  unproven:
    'The evidence does not prove where it comes from. It may be forged. Do not trust the machine ' +
    'because of it.',
  time:
    'The evidence is in order, but a certificate with it was not valid at the time for which it ' +
    'was judged. It may be older than it should be, or the time asked for may be wrong.',
  platform:
    'The evidence is genuine, but the machine does not protect its memory well enough: it allows ' +
    'debugging, or its firmware is too old, for example.',
  policy:
    'The evidence is genuine, but the machine runs something else than the policy allows.',
  binding:
    'The evidence is genuine, but it is about something else than it came with. It may have been ' +
    'taken from another machine.',
};
const ACCEPTED =
  'The evidence is genuine: it was made by a processor of AMD that protects the memory of the ' +
  'machine, and everything that the policy asks for was found to be so.';
const SESSION = 'Everything that was looked at was found to be so.';
const VIRTUAL =
  'INSECURE. This is evidence of the virtual platform, for development. No hardware vouches for ' +
  'it: whoever runs the machine can read everything on it.';
const CODE_OPEN =
  'It was not asked what runs on this machine: that its evidence is genuine is no reason to ' +
  'trust it with anything.';
const MARKS = {
  passed: ['yes', '✓', 'passed'],
  failed: ['no', '✗', 'failed'],
  skipped: ['open', '–', 'not judged'],
} as const;

/** The page; everything in it that came from outside is escaped. */
export function htmlReport(report: HtmlReport): string {
  const { judged, notes, policyName, bundleDigest } = report;
  const good = judged.filter(({ verdict }) => verdict.accepted).length;
  const isVirtual = judged.some(({ verdict }) => verdict.claims?.platform === 'virtual');
  const word = good === judged.length && good > 0 ? 'accepted' : 'refused';
  const headline = isVirtual ? `${word}, INSECURE` : word;
  const times = new Set(judged.map(({ verdict }) => dayAndTime(verdict.atMs)));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Attestation ${headline}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Attestation ${headline}</h1>
<p>Confidential machines prove by <em>evidence</em>, signed by their processor, what they are and
what they run. This page says how that evidence was judged.</p>
<dl>
<dt>Judged</dt><dd>${countOf(judged.length)}; ${good} accepted</dd>
<dt>As of</dt><dd>${[...times].map(escaped).join(', ')}</dd>
<dt>By</dt><dd>${escaped(policyName)}</dd>
${bundleDigest === undefined ? '' : `<dt>Bundle</dt><dd><code>${escaped(bundleDigest)}</code></dd>`}
</dl>
${judged.map(({ subject, verdict }) => section(subject.name, verdict)).join('\n')}
${noteList(notes)}
<footer>Made by Concordat ${escaped(VERSION)}. This page is a record and proves nothing by itself:
repeat the verdict with <code>concordat verify</code>.</footer>
</body>
</html>
`;
}

function countOf(count: number): string {
  return count === 1 ? 'one piece of evidence' : `${count} pieces of evidence`;
}

function section(name: string, verdict: Verdict): string {
  const { accepted, checks, claims, refusal } = verdict;
  const isVirtual = claims?.platform === 'virtual';
  const good = claims === undefined ? SESSION : ACCEPTED;
  const meaning = accepted ? good : MEANINGS[refusal?.kind ?? 'unproven'];
  const skipped = checks.filter(({ outcome }) => outcome === 'skipped').length;
  const reason =
    refusal === undefined
      ? ''
      : `<p>The reason: ${escaped(refusal.message)} <code>(${escaped(refusal.code)})</code>.</p>`;
  const open =
    skipped === 0
      ? ''
      : `<p>${skipped} of ${checks.length} questions were not judged; they are marked –.</p>`;
  return `<section>
<h2>${escaped(name)}</h2>
<p class="verdict ${accepted && !isVirtual ? 'yes' : 'no'}">${accepted ? 'Accepted' : 'Refused'}</p>
${isVirtual ? `<p class="warning">${VIRTUAL}</p>` : `<p>${meaning}</p>`}
${!isVirtual && leavesCodeOpen(verdict) ? `<p class="warning">${CODE_OPEN}</p>` : ''}
${reason}
${open}
<table>
<thead><tr><th>Outcome</th><th>What was looked at</th><th>What was found</th></tr></thead>
<tbody>
${failedFirst(checks).map(row).join('\n')}
</tbody>
</table>
${claimTable(verdict)}
</section>`;
}

function failedFirst(checks: readonly Check[]): readonly Check[] {
  const [failed, rest] = [true, false].map((is) =>
    checks.filter(({ outcome }) => (outcome === 'failed') === is),
  );
  return [...(failed ?? []), ...(rest ?? [])];
}

function row({ name, outcome, message, values, code }: Check): string {
  const [style, mark, word] = MARKS[outcome];
  const why = code === undefined ? '' : ` <code>(${escaped(code)})</code>`;
  const details =
    Object.keys(values).length === 0
      ? ''
      : `<details><summary>values</summary>${definitions(values)}</details>`;
  return (
    `<tr><td class="${style}">${mark} ${word}</td><td>${escaped(name)}</td>` +
    `<td>${escaped(message)}${why}${details}</td></tr>`
  );
}

function claimTable({ claims, accepted }: Verdict): string {
  if (claims === undefined) return '';
  const { platform, measurement, hostData, reportData, details } = claims;
  const all = { platform, measurement, hostData, reportData: toHex(reportData), ...details };
  const title = accepted
    ? 'Everything that the evidence says'
    : 'What the refused evidence says: believe none of it';
  return `<details><summary>${title}</summary>${definitions(all)}</details>`;
}

function definitions(values: Readonly<Record<string, string>>): string {
  const items = Object.entries(values).map(
    ([name, value]) => `<dt>${escaped(name)}</dt><dd><code>${escaped(value)}</code></dd>`,
  );
  return `<dl>${items.join('')}</dl>`;
}

function noteList(notes: readonly string[]): string {
  if (notes.length === 0) return '';
  const items = notes.map((note) => `<li>${escaped(note)}.</li>`).join('\n');
  return `<section>\n<h2>Also to know</h2>\n<ul>\n${items}\n</ul>\n</section>`;
}

function dayAndTime(atMs: number): string {
  return new Date(atMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text that means itself, also in an attribute; what cannot be shown is shown as such. */
function escaped(text: string): string {
  return text
    .replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? '')
    .replace(/[^\n\x20-\x7e\u00a0-\u200a\u2010-\u2027\u2030-\u205f\u2070-\ud7ff]/g, '\ufffd');
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.8rem; } h2 { font-size: 1.2rem; margin-top: 2rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.3rem; font-weight: bold; padding: .4rem .8rem; color: #fff; }
.verdict.yes { background: #1b6e36; } .verdict.no { background: #a3161a; }
.warning { border: 2px solid #a3161a; padding: .4rem .8rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid #ccc; }
td.yes { color: #1b6e36; white-space: nowrap; } td.open { color: #666; white-space: nowrap; }
td.no { color: #a3161a; font-weight: bold; white-space: nowrap; }
code { font-size: .85em; overflow-wrap: anywhere; } dt { font-weight: bold; }
dd { margin: 0 0 .3rem 1rem; } summary { cursor: pointer; color: #555; }
footer { margin-top: 2rem; color: #555; font-size: .9em; }
`;
