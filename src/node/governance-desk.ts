/**
 * What a node lends to its members' decisions: the interpreter, the names of proposals, the
 * certificates that actions ask for, and the deeds that are more than rows.
 */
import type { Clock } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import type { Validity } from '../crypto/certificates.ts';
import { endorseRequest, timeOfText } from '../crypto/endorsement.ts';
import type { Verifier } from '../crypto/verifier.ts';
import type { Draft } from '../governance/draft.ts';
import { latestLedgerSecretSeqno } from '../governance/nodes.ts';
import { proposalIdOf } from '../governance/proposals.ts';
import { transitionServiceToOpen } from '../governance/recovery.ts';
import {
  refreshShares,
  rekeyLedger,
  type SecretKeeper,
} from '../governance/recovery-shares.ts';
import type { JsonValue, ScriptEffect, ScriptRunner } from '../governance/scripts.ts';
import { HISTORICAL_SECRET, SINGLETON } from '../governance/tables.ts';
import { removeTokenKeys, setTokenKeys } from '../governance/token-keys.ts';
import type { GovernanceDesk } from '../http/gov/gov-request.ts';
import type { Transaction } from '../kv/tables.ts';
import { SERVICE_SUBJECT } from './node-certificates.ts';
import type { NodeLog } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';

export interface GovernanceDependencies {
  readonly ledger: OpenedLedger;
  readonly scripts: ScriptRunner;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly log: NodeLog;
  keeper(): SecretKeeper;
  /** What opens a new service. */
  opener(): (transaction: Transaction) => void;
  requestSnapshot(): void;
  requestChunk(): void;
}

export function governanceDeskOf(dependencies: GovernanceDependencies): GovernanceDesk {
  const { ledger, scripts, verifier, clock, log } = dependencies;
  return {
    scripts,
    verifier,
    nowMs: () => clock.nowMs(),
    nameProposal: (digest) => proposalIdOf(ledger.state.tree.root(), digest),
    answer: (question, draft) => answerOf(question, draft, ledger),
    log: (lines) => {
      for (const line of lines) log.info(line);
    },
    carryOut: (transaction, effects) => {
      for (const effect of effects) carryOut(transaction, effect, dependencies);
      renewShares(transaction, effects, dependencies);
    },
  };
}

async function answerOf(
  { name, args }: ScriptEffect,
  draft: Draft,
  { state, identity, serviceCertificatePem }: OpenedLedger,
): Promise<string> {
  const service = { key: identity.serviceKey, certificatePem: serviceCertificatePem };
  switch (name) {
    case 'getLatestLedgerSecretSeqno':
      // Noted as read: a rekey meanwhile makes another answer of this.
      draft.get(HISTORICAL_SECRET, SINGLETON);
      return String(latestLedgerSecretSeqno(state.store.current));
    case 'generateEndorsedCertificate': {
      const [request, from, days] = args;
      const validity = validityOf(from, days);
      return await endorseRequest(identity.keys, String(request), validity, service);
    }
    case 'generateNetworkCertificate': {
      const [from, days] = args;
      const validity = validityOf(from, days);
      return await identity.keys.serviceCertificate(
        identity.serviceKey,
        SERVICE_SUBJECT,
        validity,
      );
    }
    default:
      throw new CodedError('InternalError', `scripts cannot ask for ${name}`, { status: 500 });
  }
}

function validityOf(from: JsonValue | undefined, days: JsonValue | undefined): Validity {
  const fromMs = typeof from === 'string' ? timeOfText(from) : undefined;
  if (fromMs === undefined || typeof days !== 'number') {
    throw new CodedError(
      'InvalidInput',
      `valid_from is ${JSON.stringify(from)?.slice(0, 60)}; it is a time such as 261121120000Z ` +
        'or 2026-11-21T12:00:00Z',
      { status: 400 },
    );
  }
  return { fromMs, days };
}

function carryOut(
  transaction: Transaction,
  { name, args }: ScriptEffect,
  dependencies: GovernanceDependencies,
): void {
  const [first, second, third] = args;
  switch (name) {
    case 'triggerLedgerRekey':
    case 'triggerRecoverySharesRefresh':
    // There is no bytecode: scripts are compiled when they run.
    case 'refreshAppBytecodeCache':
      return;
    case 'triggerLedgerChunk':
      dependencies.requestChunk();
      return;
    case 'triggerSnapshot':
      dependencies.requestSnapshot();
      return;
    case 'transitionServiceToOpen': {
      const next_service_identity = String(second);
      const identities =
        typeof first === 'string'
          ? { next_service_identity, previous_service_identity: first }
          : { next_service_identity };
      transitionServiceToOpen(transaction, identities, dependencies.opener());
      return;
    }
    case 'setJwtPublicSigningKeys':
      setTokenKeys(transaction, String(first), third);
      return;
    case 'removeJwtPublicSigningKeys':
      removeTokenKeys(transaction, String(first));
      return;
    default:
      throw new CodedError('InternalError', `scripts cannot have ${name} done`, {
        status: 500,
      });
  }
}

/** Last, when members and threshold stand as they are to be; a rekey brings new shares as well. */
function renewShares(
  transaction: Transaction,
  effects: readonly ScriptEffect[],
  { keeper }: GovernanceDependencies,
): void {
  const wanted = (name: string): boolean => effects.some((effect) => effect.name === name);
  if (wanted('triggerLedgerRekey')) rekeyLedger(transaction, keeper());
  else if (wanted('triggerRecoverySharesRefresh')) refreshShares(transaction, keeper());
}
