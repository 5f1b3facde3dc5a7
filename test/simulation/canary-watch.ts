// Searches whatever leaves a node's memory for private values: all that is written to disks and
// local indexes, all entries that travel, all that is logged. What travels between nodes on behalf
// of a client is not searched: its channel is encrypted, which is not simulated.

import { hexOf, utf8 } from '../../src/base/bytes.ts';
import { CANARY } from './clients.ts';
import type { Machine, MachineWatch } from './machine.ts';
import { require as mustHold } from './violation.ts';

/** The canary as it is, in hexadecimal, and in base64 wherever in a text it begins. */
const FORMS: readonly Buffer[] = [
  Buffer.from(CANARY),
  Buffer.from(hexOf(utf8(CANARY))),
  ...[0, 1, 2].map((shift) => {
    const text = Buffer.from(`${'x'.repeat(shift)}${CANARY}`).toString('base64');
    // The characters at both ends depend on what is around.
    return Buffer.from(text.replace(/=+$/, '').slice(shift === 0 ? 0 : 4, -4));
  }),
];

export class CanaryWatch implements Partial<MachineWatch> {
  searchedBytes = 0;

  onWrite(machine: Machine, path: string, _offset: number, bytes: Uint8Array): void {
    this.search(bytes, () => `${path} of ${machine.name}`);
  }

  onSent(machine: Machine, _to: string, message: { readonly kind: string }): void {
    const entries: unknown = 'entries' in message ? message.entries : undefined;
    if (!Array.isArray(entries)) return;
    for (const entry of entries) {
      if (entry instanceof Uint8Array)
        this.search(entry, () => `an entry sent by ${machine.name}`);
    }
  }

  onLog(machine: Machine, text: string): void {
    this.search(utf8(text), () => `a log line of ${machine.name}`);
  }

  search(bytes: Uint8Array, where: () => string): void {
    this.searchedBytes += bytes.length;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const form of FORMS) {
      mustHold(!buffer.includes(form), 'NoCanary', () => `a private value is in ${where()}`);
    }
  }
}
