/**
 * `/gov/recovery/…` (http-api.md §11): a member fetches its share, as it is encrypted to it, and
 * hands it in while a lost service is being recovered.
 */
import {
  type AppRequest,
  type AppResponse,
  answer,
  type Endpoint,
} from '../../apps/interface.ts';
import { bytesOfBase64, textOf } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { readMemberMessage } from '../../governance/messages.ts';
import { formerServiceRows } from '../../governance/recovery.ts';
import { encryptedShareOf, type ShareSubmission } from '../../governance/submitted-shares.ts';
import type { ReadView, Transaction } from '../../kv/tables.ts';
import { errorAnswer, jsonAnswer } from '../answers.ts';

/** What takes shares in: only a node that recovers a service has one. */
export interface RecoveryDesk {
  submit(transaction: Transaction, memberId: string, share: Uint8Array): ShareSubmission;
}

export interface RecoveryEndpointDependencies {
  readonly verifier: Verifier;
  readonly desk: RecoveryDesk | undefined;
}

const API_VERSIONS = ['2023-06-01-preview', '2024-07-01'];
const SHARE_MESSAGE_BYTES_MAX = 64 * 1024;

export function recoveryEndpoints({
  verifier,
  desk,
}: RecoveryEndpointDependencies): readonly Endpoint[] {
  return [
    {
      verb: 'GET',
      path: '/recovery/encrypted-shares/{memberId}',
      authentication: ['no_auth'],
      effect: 'read',
      reads: 'current',
      answers: 'local',
      summary: "A member's recovery share, encrypted to it",
      handle: (request, view) => answer(refusalOf(request) ?? encryptedShare(request, view)),
    },
    {
      verb: 'GET',
      path: '/recovery/former-services',
      authentication: ['no_auth'],
      effect: 'read',
      reads: 'committed',
      answers: 'local',
      summary:
        'How this service vouches for those that it was recovered from, the latest first',
      handle: (request, view) =>
        answer(versionRefusal(request) ?? jsonAnswer({ value: formerServiceRows(view) })),
    },
    {
      verb: 'POST',
      path: '/recovery/members/{memberId}:recover',
      // The body is signed; a session of its sender would show nothing more.
      authentication: ['no_auth'],
      effect: 'write',
      reads: 'current',
      answers: 'local',
      governs: true,
      bodyBytesMax: SHARE_MESSAGE_BYTES_MAX,
      summary: 'Takes a recovery share that its member has signed',
      handle: (request, view) => {
        const refusal = refusalOf(request);
        if (refusal !== undefined) return answer(refusal);
        return {
          kind: 'ask',
          ask: async () => {
            const share = await signedShare(request, view, verifier);
            return { kind: 'write', apply: (tx) => taken(tx, memberIn(request), share, desk) };
          },
        };
      },
    },
  ];
}

/** What such requests must say, and a member's id in their path. */
function refusalOf(request: AppRequest): AppResponse | undefined {
  const refusal = versionRefusal(request);
  if (refusal !== undefined || /^[0-9a-f]{64}$/.test(memberIn(request))) return refusal;
  const message = 'A member id is 64 lowercase hexadecimal digits.';
  return errorAnswer(400, 'InvalidResourceName', message);
}

/** What every request under `/gov` must say. */
function versionRefusal(request: AppRequest): AppResponse | undefined {
  const version = new URLSearchParams(request.query).get('api-version');
  const supported = `The supported api-versions are: ${API_VERSIONS.join(', ')}`;
  if (version === null) {
    const message = `The api-version query parameter (?api-version=) is required. ${supported}`;
    return errorAnswer(400, 'MissingApiVersionParameter', message);
  }
  if (API_VERSIONS.includes(version)) return undefined;
  const message = `Unsupported api-version '${version.slice(0, 40)}'. ${supported}`;
  return errorAnswer(400, 'UnsupportedApiVersionValue', message);
}

function memberIn({ params }: AppRequest): string {
  return params.memberId ?? '';
}

function encryptedShare(request: AppRequest, view: ReadView): AppResponse {
  const memberId = memberIn(request);
  const encrypted = encryptedShareOf(view, memberId);
  if (encrypted !== undefined) return jsonAnswer({ encryptedShare: encrypted, memberId });
  const message = `Recovery share not found for member ${memberId}.`;
  return errorAnswer(404, 'ResourceNotFound', message);
}

/** The share in a signed request; rejects as the contract says. */
async function signedShare(
  request: AppRequest,
  view: ReadView,
  verifier: Verifier,
): Promise<Uint8Array> {
  const { memberId, payload } = await readMemberMessage(
    request.body,
    'recovery_share',
    'active_member',
    view,
    verifier,
  );
  if (memberId !== memberIn(request)) {
    throw new CodedError(
      'InvalidAuthenticationInfo',
      'Submitted request must be signed by the member in its path.',
      { status: 400 },
    );
  }
  const share = shareIn(payload);
  if (share !== undefined) return share;
  const why = 'The payload must be {"share": "<base64 of the decrypted share>"}.';
  throw new CodedError('InvalidInput', why, { status: 400 });
}

function shareIn(payload: Uint8Array): Uint8Array | undefined {
  try {
    const body: unknown = JSON.parse(textOf(payload));
    const text: unknown =
      typeof body === 'object' && body !== null ? Reflect.get(body, 'share') : undefined;
    return typeof text === 'string' ? bytesOfBase64(text) : undefined;
  } catch {
    return undefined;
  }
}

function taken(
  transaction: Transaction,
  memberId: string,
  share: Uint8Array,
  desk: RecoveryDesk | undefined,
): AppResponse {
  if (desk === undefined) {
    const message = 'Service is not waiting for recovery shares.';
    return errorAnswer(403, 'ServiceNotWaitingForRecoveryShares', message);
  }
  const { recovers, ...counts } = desk.submit(transaction, memberId, share);
  return jsonAnswer({ message: messageFor({ recovers, ...counts }), ...counts });
}

function messageFor(submission: ShareSubmission): string {
  const { submittedCount, recoveryThreshold, fullKeySubmitted, recovers } = submission;
  const count = `${submittedCount}/${recoveryThreshold}`;
  const what = fullKeySubmitted
    ? 'Full recovery key successfully submitted.'
    : `${count} recovery shares successfully submitted.`;
  if (recovers) return `${what} End of recovery procedure initiated.`;
  const enough = fullKeySubmitted || submittedCount >= recoveryThreshold;
  if (!enough) return what;
  return `${what} No ${recoveryThreshold} of them open the ledger secret: one or more are wrong.`;
}
