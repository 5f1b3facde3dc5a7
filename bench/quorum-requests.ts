/**
 * What GoQuorum asks its transaction manager: the same for Concordat and for Tessera.
 */
import { randomBytes } from 'node:crypto';
import type { Target } from './generator/job.ts';
import { distinctRequests, type Load, oneRun, placeOf, times } from './load.ts';
import { goPathEscape, requestBytes } from './requests.ts';
import type { TransactionManagers } from './systems/asked.ts';

/** Payloads there are to read: more than any cache line, all in the page cache. */
const STORED = 1024;
const STORED_BYTES_MAX = 64 * 1024 * 1024;
/** GoQuorum's media types (transaction-manager.md §A.3). */
const SEND_TYPE = 'application/vnd.tessera-4.0+json';
const READ_TYPE = 'application/vnd.tessera-2.1+json';
const SENDER = 1;
const RECIPIENT = 2;

/** Payloads of chance from the first organisation to the second, or to the keys that are named. */
export function sendTarget(
  managers: TransactionManagers,
  load: Load,
  recipients: readonly (string | undefined)[] = [managers.partyKeyOf(RECIPIENT)],
): Target {
  const url = managers.transactionManagerOf(SENDER);
  const from = managers.partyKeyOf(SENDER);
  const requests = times(distinctRequests(load), () =>
    requestBytes({
      method: 'POST',
      path: '/send',
      host: url.host,
      headers: { 'Content-Type': SEND_TYPE, Accept: SEND_TYPE },
      body: JSON.stringify({
        payload: randomBytes(load.payloadBytes).toString('base64'),
        ...(from === undefined ? {} : { from }),
        to: recipients,
        affectedContractTransactions: [],
        privacyFlag: 0,
        mandatoryRecipients: null,
      }),
    }),
  );
  return { ...placeOf(url, load), requests, expectedStatus: 201 };
}

/** Reads of payloads that were sent before, by the second organisation. */
export async function receiveTarget(
  managers: TransactionManagers,
  load: Load,
): Promise<Target> {
  const count = Math.min(STORED, Math.ceil(STORED_BYTES_MAX / load.payloadBytes));
  const answers = await oneRun(load.generator, sendTarget(managers, load), count);
  const url = managers.transactionManagerOf(RECIPIENT);
  const requests = answers.map((answer) => {
    const { key } = JSON.parse(answer) as { readonly key: string };
    const path = `/transaction/${goPathEscape(key)}?isRaw=false`;
    const headers = { 'Content-Type': READ_TYPE, Accept: READ_TYPE };
    return requestBytes({ method: 'GET', path, host: url.host, headers });
  });
  return { ...placeOf(url, load), requests, expectedStatus: 200 };
}
