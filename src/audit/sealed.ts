/**
 * What only whoever has the ledger secrets can judge: seals and commit evidence (ledger-format.md
 * §3.2 and §7). PyPI `ccf` leaves both out.
 */
import { equalBytes } from '../base/bytes.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import { type MapWrites, openEntry, type ParsedEntry } from '../ledger/entry.ts';
import { type LedgerSecret, ledgerSecretOf } from '../ledger/secret.ts';
import { decoded, mustBePrivate } from './entry-rules.ts';
import { FaultError, rule } from './fault.ts';

/** A ledger secret and the first seqno that it seals. */
export interface DatedSecret {
  readonly from: number;
  readonly bytes: Uint8Array;
}

interface ReadySecret {
  readonly from: number;
  readonly secret: LedgerSecret;
}

export class SealChecks {
  private readonly secrets: readonly ReadySecret[];
  private current = 0;
  /** Entries opened. */
  opened = 0;

  constructor(secrets: readonly DatedSecret[]) {
    this.secrets = [...secrets]
      .sort((left, right) => left.from - right.from)
      .map(({ from, bytes }) => ({ from, secret: ledgerSecretOf(bytes) }));
  }

  /** Opens an entry, in ledger order; gives back its private tables. */
  check(entry: ParsedEntry): MapWrites[] {
    const secret = this.secretAt(entry.seqno);
    const evidence = secret.evidence.digestOf(entry.view, entry.seqno);
    const { evidenceDigest } = entry;
    if (evidenceDigest !== undefined) {
      const same = equalBytes(evidence, evidenceDigest);
      rule(same, 'CommitEvidence', () => 'this one is not');
    }
    const maps = decoded('PrivateWriteSet', () => opened(entry, secret));
    mustBePrivate(maps);
    this.opened += 1;
    return maps;
  }

  private secretAt(seqno: number): LedgerSecret {
    while ((this.secrets[this.current + 1]?.from ?? Number.POSITIVE_INFINITY) <= seqno) {
      this.current += 1;
    }
    const ready = this.secrets[this.current];
    if (ready === undefined || ready.from > seqno) {
      throw new FaultError('SecretMissing', `none of those given applies to ${seqno}`);
    }
    return ready.secret;
  }
}

function opened(entry: ParsedEntry, secret: LedgerSecret): MapWrites[] {
  try {
    return openEntry(entry, secret);
  } catch (thrown) {
    if (!isCoded(thrown, 'SealBroken')) throw thrown;
    throw new FaultError('Seal', messageOf(thrown));
  }
}
