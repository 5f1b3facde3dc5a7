// PyPI `ccf` at level FULL on many ledger folders at once.

import { runCcf } from './judges.ts';

export interface CcfOutcome {
  readonly ok: boolean;
  /** Transactions it accepted before it stopped. */
  readonly transactions: number;
  /** Last TxID it verified, or what it objected to. */
  readonly detail: string;
}

const PROGRAM = `
import sys, json
import ccf.ledger as L
full = L.VerificationLevel.FULL
for folder in sys.argv[1:]:
    validator = L.LedgerValidator(verification_level=full)
    count = 0
    try:
        ledger = L.Ledger([folder], committed_only=False, verification_level=full)
        for chunk in ledger:
            for transaction in chunk:
                validator.add_transaction(transaction)
                count += 1
        print(json.dumps([True, count, str(validator.last_verified_txid())]))
    except Exception as error:
        print(json.dumps([False, count, type(error).__name__ + ': ' + str(error)[:200]]))
`;

/** What PyPI \`ccf\` says of each folder, in their order. */
export async function judgeLedgers(folders: readonly string[]): Promise<CcfOutcome[]> {
  const { code, stdout, stderr } = await runCcf(['-c', PROGRAM, ...folders]);
  if (code !== 0) throw new Error(`PyPI ccf failed: ${stderr}`);
  return stdout
    .trim()
    .split('\n')
    .map((line) => {
      const [ok, transactions, detail] = JSON.parse(line);
      return { ok, transactions, detail };
    });
}
