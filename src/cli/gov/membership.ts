/**
 * `concordat gov ack` and `concordat gov status`: a member's own standing, and that of all.
 */
import { parseArgs } from 'node:util';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { PLACE_OPTIONS, PLACE_USAGE, readGov, SigningMember, serviceOf } from './place.ts';

export const ACK: Action = {
  name: 'ack',
  usage: `Usage: concordat gov ack (--data DIR | --url URL …)

Acknowledges the state of the service as it is signed now. The first time, this makes a member
active.

${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values } = parseArgs({ args: [...args], strict: true, options: PLACE_OPTIONS });
    const member = SigningMember.of(values);
    const path = `/members/state-digests/${member.id}`;
    const { body } = await member.send('state_digest', `${path}:update`, '');
    const { stateDigest } = JSON.parse(body) as { readonly stateDigest: string };
    await member.send('ack', `${path}:ack`, JSON.stringify({ stateDigest }));
    if (values.json === true) {
      io.out(JSON.stringify({ ok: true, memberId: member.id, stateDigest }));
    } else io.out(`member ${member.id} acknowledged ${stateDigest}`);
    return EXIT.good;
  },
};

interface ShownMember {
  readonly memberId: string;
  readonly status: string;
  readonly recoveryRole: string;
}

interface ShownProposal {
  readonly proposalId: string;
  readonly proposalState: string;
  readonly proposerId: string;
  readonly ballotCount: number;
}

export const STATUS: Action = {
  name: 'status',
  usage: `Usage: concordat gov status (--data DIR | --url URL --service-certificate PEM) [--json]

Shows the service, its members and its proposals, and which organisations' admin keys are about to
be replaced.

${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values } = parseArgs({ args: [...args], strict: true, options: PLACE_OPTIONS });
    const asker = serviceOf(values);
    const read = async (path: string): Promise<unknown> =>
      JSON.parse(await readGov(asker, path));
    const service = await read('/service/info');
    const members = await read('/service/members');
    const proposals = await read('/members/proposals');
    const organisations = await read('/concordat/organisations');
    if (values.json === true) {
      io.out(JSON.stringify({ ok: true, service, members, proposals, organisations }));
    } else {
      show(io, service, members, proposals);
      warn(io, (organisations as { readonly value: readonly ShownOrganisation[] }).value);
    }
    return EXIT.good;
  },
};

function show(io: CommandIo, service: unknown, members: unknown, proposals: unknown): void {
  const { status, configuration } = service as {
    readonly status: string;
    readonly configuration: { readonly recoveryThreshold: number };
  };
  const listed = (members as { readonly value: readonly ShownMember[] }).value;
  const open = (proposals as { readonly value: readonly ShownProposal[] }).value;
  io.out(`service: ${status}, ${configuration.recoveryThreshold} shares recover it`);
  for (const { memberId, status: standing, recoveryRole } of listed) {
    io.out(`member ${memberId} ${standing.padEnd(8)} ${recoveryRole}`);
  }
  if (open.length === 0) io.out('no proposals');
  for (const { proposalId, proposalState, proposerId, ballotCount } of open) {
    const by = proposerId.slice(0, 8);
    io.out(
      `proposal ${proposalId} ${proposalState.padEnd(9)} by ${by}, ${ballotCount} ballots`,
    );
  }
}

interface ShownOrganisation {
  readonly organisationId: string;
  readonly pendingAdminKey?: { readonly effectiveFrom: string };
}

/** Whoever still has the old key must learn in time that another is to take its place. */
function warn(io: CommandIo, organisations: readonly ShownOrganisation[]): void {
  for (const { organisationId, pendingAdminKey } of organisations) {
    if (pendingAdminKey === undefined) continue;
    const from = pendingAdminKey.effectiveFrom;
    io.out(`organisation ${organisationId}: its admin key may be replaced from ${from} on`);
  }
}
