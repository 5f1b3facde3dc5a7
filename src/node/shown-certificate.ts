/**
 * The certificate that a node shows on its connections: at first the one it started with, and from
 * each of the members' decisions on the one that they had made for it (governance.md §6,
 * `set_node_certificate_validity`). Nothing has to be started again for it.
 */
import { utf8 } from '../base/bytes.ts';
import { NODE_CERTIFICATES } from '../governance/tables.ts';
import type { TlsIdentity } from '../http/tls-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';

export class ShownCertificate {
  readonly #ledger: Pick<OpenedLedger, 'identity' | 'nodeCertificatePem'> & {
    readonly state: Pick<OpenedLedger['state'], 'store'>;
  };
  readonly #onChange: () => void;
  /** As the ledger has it; what a start renewed by itself is newer than that. */
  #row: Uint8Array | undefined;
  #pem: string;

  constructor(ledger: OpenedLedger, onChange: () => void) {
    this.#ledger = ledger;
    this.#onChange = onChange;
    this.#row = this.#rowNow();
    this.#pem = ledger.nodeCertificatePem;
  }

  get identity(): TlsIdentity {
    const { nodeKey } = this.#ledger.identity;
    return { key: nodeKey.privateKeyPem(), cert: this.#pem };
  }

  /** Looks whether members have had another one made; to be called when something is committed. */
  look(): void {
    const row = this.#rowNow();
    if (row === this.#row || row === undefined) return;
    const before = this.#row;
    this.#row = row;
    if (before !== undefined && Buffer.compare(before, row) === 0) return;
    this.#pem = Buffer.from(row).toString();
    this.#onChange();
  }

  #rowNow(): Uint8Array | undefined {
    const { identity, state } = this.#ledger;
    const key = utf8(identity.nodeKey.fingerprint);
    return state.store.committedView.table(NODE_CERTIFICATES).get(key);
  }
}
