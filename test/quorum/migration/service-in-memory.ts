/** The service as an import knows it, on the application in memory; it can be away for a while. */

import { CodedError } from '../../../src/base/errors.ts';
import type { Verdict } from '../../../src/cli/quorum/import-service.ts';
import { payloadTransfer, type Transfer } from '../../../src/cli/quorum/transfer-body.ts';
import type { EncodedPayload } from '../../../src/federation/encoded-payload.ts';
import type { MemoryRuntime } from '../../support/memory-runtime.ts';
import { jsonIn, textIn } from '../../support/quorum-client.ts';
import { callerOfOrganisation } from '../../support/quorum-network.ts';

export class ServiceInMemory {
  readonly #runtime: MemoryRuntime;
  readonly #organisation: number;
  /** Everything that was sent, by name. */
  readonly sent: string[] = [];
  /** Set to fail at the sending with this number, from 0; once. */
  failsAt: number | undefined;
  /** Whether what failed was done all the same. */
  failsAfterActing = false;

  constructor(runtime: MemoryRuntime, organisation: number) {
    this.#runtime = runtime;
    this.#organisation = organisation;
  }

  async send(transfer: Transfer): Promise<Verdict> {
    const fails = this.sent.length === this.failsAt;
    this.sent.push(transfer.name);
    if (fails) this.failsAt = undefined;
    if (fails && !this.failsAfterActing) throw away();
    const response = this.#post(`/app/quorum/import${transfer.path}`, transfer.body);
    if (fails) throw away();
    if (response.status !== 200) {
      return { kind: 'refused', why: `${response.status} ${textIn(response)}` };
    }
    return { kind: jsonIn(response).outcome === 'known' ? 'known' : 'stored' };
  }

  async open(sealed: EncodedPayload): Promise<Uint8Array | undefined> {
    const { body } = payloadTransfer(new Uint8Array(0), sealed);
    const response = this.#post('/app/quorum/q2t/encodedpayload/decrypt', body);
    if (response.status !== 200) return undefined;
    return Buffer.from(String(jsonIn(response).payload), 'base64');
  }

  #post(target: string, body: object) {
    return this.#runtime.request({
      verb: 'POST',
      target,
      headers: [['content-type', 'application/json']],
      body: JSON.stringify(body),
      caller: callerOfOrganisation(this.#organisation),
    });
  }
}

function away(): CodedError {
  return new CodedError('ServiceUnreachable', 'the service cannot do it: it is away');
}

/** A journal that remembers nothing. */
export function noJournal() {
  return { has: () => false, note: () => undefined };
}
