/**
 * A doctor's visit to one node of the service, step by step as a connector meets it: its name, its
 * certificate, the clocks, its evidence, and whether it knows the organisation. No request of the
 * organisation is made before the evidence is accepted.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { connect, createSecureContext } from 'node:tls';
import { judgeEvidence } from '../attestation/judge.ts';
import type { EvidencePolicy } from '../attestation/policy.ts';
import type { RefusalKind, Verdict } from '../attestation/verdict.ts';
import type { Clock, Timers } from '../base/environment.ts';
import { messageOf } from '../base/errors.ts';
import { addressOf, type NodeAddress } from '../client/node-address.ts';
import { evidenceIn } from '../client/node-judge.ts';
import { type Asking, getting, jsonOf } from '../client/node-probe.ts';
import { Session } from '../client/session.ts';
import type { PoolOptions } from '../client/session-pool.ts';
import {
  isFor,
  isSignedBy,
  openCertificate,
  type X509Certificate,
} from '../crypto/shown-certificate.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { serviceTarget } from './addresses.ts';
import { namesIn, portraitOf, validityOf } from './doctor-certificate.ts';
import type { Finding, Tell } from './doctor-finding.ts';
import { firstHeader } from './headers.ts';

export interface NodeVisit {
  readonly service: PoolOptions;
  readonly policy: EvidencePolicy;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly timers: Timers;
}

const CONNECT_MS_MAX = 5_000;
const ANSWER_MS_MAX = 10_000;
/** An answer's date has whole seconds, and its way takes time. */
const CLOCK_SAME_MS = 5_000;
/** Nodes begin certificates an hour back because clocks differ: beyond that it stops working. */
const CLOCK_TOLERATED_MS = 3_600_000;

type Said = Omit<Finding, 'about'>;

export async function examineNode(url: string, visit: NodeVisit, tell: Tell): Promise<void> {
  const say = (said: Said): void => tell({ about: url, ...said });
  const skip = (steps: readonly string[], why: string): void => {
    for (const step of steps) say({ step, outcome: 'skipped', message: why });
  };
  let address: NodeAddress;
  try {
    address = addressOf(url);
  } catch (thrown) {
    const fix = 'write it as https://HOST:PORT';
    say({ step: 'address', outcome: 'bad', message: messageOf(thrown), fix });
    skip(ALL_STEPS, 'there is no address to go to');
    return;
  }
  const name = await nameFinding(address);
  if (name !== undefined) say(name);
  if (name?.outcome === 'bad') {
    skip(ALL_STEPS, 'the name leads nowhere');
    return;
  }
  const shown = await shownCertificate(address);
  if (typeof shown === 'string') {
    say({ step: 'connection', outcome: 'bad', message: shown, fix: connectionFix(address) });
    skip(ALL_STEPS.slice(1), 'there is no connection');
    return;
  }
  say({ step: 'connection', outcome: 'good', message: 'it answers in TLS' });
  const certificates = certificateFindings(shown, address, visit);
  for (const finding of certificates) say(finding);
  if (certificates.some(({ outcome }) => outcome === 'bad')) {
    skip(SESSION_STEPS, 'a connector does not go on with this certificate');
    return;
  }
  let session: Session;
  try {
    session = await openSession(address, visit);
  } catch (thrown) {
    const fix =
      'compare the settings of TLS on both sides; a proxy between them must not end TLS';
    say({ step: 'session', outcome: 'bad', message: messageOf(thrown), fix });
    skip(SESSION_STEPS.slice(1), 'there is no session');
    return;
  }
  try {
    say({ step: 'session', outcome: 'good', message: 'it takes part in mutual TLS' });
    await examineSession(session, visit, say);
  } catch (thrown) {
    const fix = "look into the node's log";
    say({ step: 'answers', outcome: 'bad', message: messageOf(thrown), fix });
  } finally {
    session.close();
  }
}

const SESSION_STEPS = ['session', 'clock', 'evidence', 'service', 'organisation'] as const;
const ALL_STEPS = [
  ...['connection', 'certificate chain', 'certificate names', 'certificate validity'],
  ...SESSION_STEPS,
] as const;

async function nameFinding({ host }: NodeAddress): Promise<Said | undefined> {
  if (isIP(host) !== 0) return undefined;
  try {
    const found = await lookup(host, { all: true });
    const addresses = found.map(({ address }) => address).join(', ');
    return { step: 'name', outcome: 'good', message: `${host} is ${addresses}` };
  } catch (thrown) {
    return {
      step: 'name',
      outcome: 'bad',
      message: `${host} is not known here: ${messageOf(thrown)}`,
      fix: 'correct the name in --service, or the name server of this machine',
    };
  }
}

function connectionFix({ port }: NodeAddress): string {
  return (
    `see that the node runs and that firewalls let port ${port} through; ` +
    "it is the port of primary_rpc_interface in the node's configuration"
  );
}

/** The certificate shown by whoever listens, or why none was; it is not judged yet. */
function shownCertificate({ host, port }: NodeAddress): Promise<X509Certificate | string> {
  return new Promise((told) => {
    const socket = connect({
      host,
      port,
      // Nothing is said in this session: what is wrong with the certificate is to be found out.
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    const end = (outcome: X509Certificate | string): void => {
      socket.destroy();
      told(outcome);
    };
    socket.setTimeout(CONNECT_MS_MAX, () => end(`no answer within ${CONNECT_MS_MAX} ms`));
    socket.once('error', (error) => end(`no TLS session: ${error.message}`));
    socket.once('close', () => end('the connection was closed before TLS was spoken'));
    socket.once('secureConnect', () =>
      end(socket.getPeerX509Certificate() ?? 'no certificate was shown'),
    );
  });
}

function certificateFindings(
  shown: X509Certificate,
  { host, port }: NodeAddress,
  { service, clock }: NodeVisit,
): readonly Said[] {
  const authority = openCertificate(service.serviceCertificate);
  const isOfService = isSignedBy(shown, authority);
  const chain: Said = isOfService
    ? {
        step: 'certificate chain',
        outcome: 'good',
        message: `${portraitOf(shown)}; signed by the service (${authority.fingerprint256})`,
      }
    : {
        step: 'certificate chain',
        outcome: 'bad',
        message:
          `the service that is trusted (SHA-256 ${authority.fingerprint256}) has not signed ` +
          `this certificate: ${portraitOf(shown)}`,
        fix:
          'another service, or a proxy that ends TLS, listens here; or the service was ' +
          'recovered and has a new certificate: get that from its members, compare its ' +
          'fingerprint, and name it in --service-certificate',
      };
  const names = namesIn(shown);
  const isNamed = isFor(shown, host);
  const naming: Said = isNamed
    ? { step: 'certificate names', outcome: 'good', message: `it names ${names.join(', ')}` }
    : {
        step: 'certificate names',
        outcome: 'bad',
        message: `${host} is missing: it names ${names.join(', ') || 'nothing'}`,
        fix:
          (names.length === 0
            ? ''
            : `say --service https://${names[0]}:${port} and have this ` +
              'machine know that name; or ') +
          'replace the node by one whose configuration has it as ' +
          'primary_rpc_interface.published_address',
      };
  const renewal = 'have its members renew it: they propose set_node_certificate_validity';
  const validity: Said = {
    step: 'certificate validity',
    ...validityOf(shown, clock.nowMs(), renewal),
  };
  return [chain, naming, validity];
}

function openSession(address: NodeAddress, { service, timers }: NodeVisit): Promise<Session> {
  const { serviceCertificate, certificate, key } = service;
  const secureContext = createSecureContext({
    ca: serviceCertificate,
    minVersion: 'TLSv1.2',
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
  });
  return Session.open(address, secureContext, CONNECT_MS_MAX, timers);
}

async function examineSession(
  session: Session,
  visit: NodeVisit,
  say: (said: Said) => void,
): Promise<void> {
  const { timers } = visit;
  const ask: Asking = (request) =>
    session.exchange(request, timers.elapsedMs() + ANSWER_MS_MAX);
  say(await clockFinding(ask, visit));
  const evidence = await evidenceFinding(session, ask, visit);
  say(evidence);
  if (evidence.outcome === 'bad') {
    for (const step of ['service', 'organisation']) {
      const message = 'nothing is asked of a node whose evidence is refused';
      say({ step, outcome: 'skipped', message });
    }
    return;
  }
  say(await serviceFinding(ask));
  say(await organisationFinding(ask, visit));
}

async function clockFinding(ask: Asking, { clock, timers }: NodeVisit): Promise<Said> {
  const step = 'clock';
  const askedMs = timers.elapsedMs();
  const answer = await ask(getting('/node/version'));
  const tookMs = timers.elapsedMs() - askedMs;
  const theirs = Date.parse(firstHeader(answer.headers, 'date') ?? '');
  if (Number.isNaN(theirs)) {
    return { step, outcome: 'skipped', message: 'the node does not say what time it has' };
  }
  const differenceMs = clock.nowMs() - tookMs / 2 - theirs;
  const seconds = Math.round(differenceMs / 1000);
  const where = seconds > 0 ? 'ahead of' : 'behind';
  const message = `this machine is ${Math.abs(seconds)} s ${where} the node`;
  if (Math.abs(differenceMs) <= CLOCK_SAME_MS) {
    return { step, outcome: 'good', message: 'this machine and the node have the same time' };
  }
  const fix = 'set the clocks by a time server (timedatectl set-ntp true), this machine first';
  const isTolerated = Math.abs(differenceMs) <= CLOCK_TOLERATED_MS;
  return { step, outcome: isTolerated ? 'note' : 'bad', message, fix };
}

async function evidenceFinding(
  session: Session,
  ask: Asking,
  { policy, verifier, clock }: NodeVisit,
): Promise<Said> {
  const step = 'evidence';
  const shown = evidenceIn(jsonOf(await ask(getting('/node/quotes/self'))));
  const { publicKeyDer } = session;
  if (shown === undefined || publicKeyDer === undefined) {
    const fix = 'see with GET /node/quotes/self what it is; is this a node of Concordat?';
    return { step, outcome: 'bad', message: 'the node shows no evidence', fix };
  }
  const binding = await verifier.hash('SHA-256', publicKeyDer);
  const nowMs = clock.nowMs();
  const verdict = await judgeEvidence(shown, { ...policy, binding }, { verifier }, nowMs);
  return { step, ...summaryOf(verdict) };
}

const FIXES: Readonly<Record<RefusalKind, string>> = {
  malformed: 'update this connector, or the node: one does not understand the other',
  unproven: 'do not use this node; have its operator find out what stands there',
  time: 'set the clock of this machine; else the node needs new certificates of its processor',
  platform: 'the node needs newer firmware; or the policy asks for more than was agreed',
  policy: 'if a new release was agreed on, get its policy and name it in --attestation-policy',
  binding: 'do not use this node: its evidence is about another',
};

function summaryOf({ accepted, checks, claims, refusal }: Verdict): Omit<Said, 'step'> {
  const passed = checks.filter(({ outcome }) => outcome === 'passed').length;
  const what =
    claims === undefined
      ? ''
      : `; ${claims.platform}, measurement ${claims.measurement}, host data ${claims.hostData}`;
  if (!accepted) {
    const { code, kind, message } = refusal ?? {
      code: 'NoVerdict',
      kind: 'malformed',
      message: '',
    };
    return {
      outcome: 'bad',
      message: `refused: ${message} (${code})${what}`,
      fix: FIXES[kind],
    };
  }
  const message = `accepted, ${passed} checks passed${what}`;
  if (claims?.platform !== 'virtual') return { outcome: 'good', message };
  return {
    outcome: 'note',
    message: `INSECURE: ${message}`,
    fix: 'virtual nodes prove nothing and are for development: take --allow-insecure-virtual away',
  };
}

async function serviceFinding(ask: Asking): Promise<Said> {
  const step = 'service';
  const status = jsonOf(await ask(getting('/node/network')))?.service_status;
  if (status === 'Open' || status === undefined) {
    const message = status === 'Open' ? 'the service is open' : 'it does not say how it is';
    return { step, outcome: status === 'Open' ? 'good' : 'skipped', message };
  }
  return {
    step,
    outcome: 'bad',
    message: `the service is ${String(status)}`,
    fix: 'its members open it (transition_service_to_open), after a recovery with their shares',
  };
}

async function organisationFinding(ask: Asking, { service }: NodeVisit): Promise<Said> {
  const step = 'organisation';
  const target = serviceTarget('third-party', '/keys') ?? '/';
  const { status, body } = await ask(getting(target, 'accept: application/json\r\n'));
  const said = body.toString('utf8').slice(0, 500);
  const own = service.certificate;
  const { fingerprint256 } = own === undefined ? { fingerprint256: '' } : openCertificate(own);
  const id = fingerprint256.replaceAll(':', '').toLowerCase();
  switch (status) {
    case 200: {
      const keys = [...said.matchAll(/"key":\s*"([^"]+)"/g)].map(([, key]) => key);
      return {
        step,
        outcome: keys.length > 0 ? 'good' : 'bad',
        message: `the certificate is accepted; party keys ${keys.join(', ') || 'none'}`,
        ...(keys.length > 0
          ? {}
          : { fix: 'have the members give the organisation a party key' }),
      };
    }
    case 401:
      return {
        step,
        outcome: 'bad',
        message: `the service does not accept the certificate ${id}: ${said}`,
        fix:
          'give certificate and id to the members, who propose add_organisation_certificate; ' +
          'if its validity is the reason, compare the clocks above',
      };
    case 403:
      return {
        step,
        outcome: 'bad',
        message: `the certificate ${id} is known, and belongs to no organisation`,
        fix: 'have the members propose add_organisation_certificate with it',
      };
    case 404:
      return {
        step,
        outcome: 'bad',
        message: 'the service does not run the application for Quorum nodes',
        fix: 'ask its operators: `applications` in their configurations must contain "quorum"',
      };
    default: {
      const message = `the node answers ${status}: ${said}`;
      return { step, outcome: 'bad', message, fix: 'ask another node, or wait for a primary' };
    }
  }
}
