/**
 * The ready line for people.
 */
import type { ReadyLine } from './ready-line.ts';

/** Where everything is, and what to paste where. */
export function readyTable(ready: ReadyLine, isNew: boolean): string {
  const [first] = ready.organisations;
  const lines = [
    `${isNew ? 'A new sandbox' : 'The sandbox'} is ready in ${ready.data}. INSECURE: virtual mode.`,
    '',
    ...columns([
      ['service', ready.service.url],
      ['certificate', ready.service.certificate],
    ]),
  ];
  ready.nodes.forEach((node, index) => {
    lines.push(
      '',
      `Node ${index + 1}`,
      ...columns([
        ['clients', node.url],
        ['ledger', node.ledger],
        ['metrics', `${node.operator.url}/metrics`],
      ]),
    );
  });
  ready.organisations.forEach((organisation, index) => {
    lines.push(
      '',
      `${organisation.name}`,
      ...columns([
        ['party key', organisation.partyKeys.join(' ')],
        ['transaction manager', organisation.transactionManager.url],
        ['socket', organisation.transactionManager.socket],
        [
          'GoQuorum',
          `geth --ptm.socket ${organisation.transactionManager.socket} …   (node ${index + 1})`,
        ],
      ]),
    );
  });
  lines.push(
    '',
    `Paste for a GoQuorum node of ${first?.name ?? 'an organisation'}:`,
    `  geth --ptm.socket ${first?.transactionManager.socket ?? ''}`,
    `  (or --ptm.url ${first?.transactionManager.url ?? ''})`,
    '',
    'Ctrl-C stops it; the next start goes on with the same data.',
  );
  return lines.join('\n');
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
}
