/**
 * The limit for a restart: reads the chunks of a ledger one after another and hashes each entry
 * once (ledger-format.md §3), on one thread. Run to its end with the folder; prints entries, bytes
 * and its own time.
 */
import { hash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A chunk begins with a word that says where its table of positions is, or 0. */
const WORD_BYTES = 8;
/** Version, flags, and the size of what follows in six bytes. */
const HEADER_BYTES = 8;
const SIZE_AT = 2;
const SIZE_BYTES = 6;

const [, , folder] = process.argv;
if (folder === undefined) throw new Error('usage: read-hash-process.ts FOLDER');
const startMs = performance.now();
let [entries, bytes, digests] = [0, 0, 0];
for (const name of readdirSync(folder).filter((each) => each.startsWith('ledger_'))) {
  const chunk = readFileSync(join(folder, name));
  const table = Number(chunk.readBigUInt64LE(0));
  const end = table === 0 ? chunk.length : table;
  for (let at = WORD_BYTES; at + HEADER_BYTES <= end; entries += 1) {
    const next = at + HEADER_BYTES + chunk.readUIntLE(at + SIZE_AT, SIZE_BYTES);
    digests += hash('sha256', chunk.subarray(at, next), 'buffer').length;
    at = next;
  }
  bytes += chunk.length;
}
const seconds = (performance.now() - startMs) / 1000;
process.stdout.write(`${JSON.stringify({ entries, bytes, digests, seconds })}\n`);
