/** `concordat connector --doctor`: prints what is found; the exit code says how it stands. */
import type { EvidencePolicy } from '../../attestation/policy.ts';
import { systemTimers } from '../../client/system-timers.ts';
import type { ConnectorOptions } from '../../connector/connector.ts';
import { examine } from '../../connector/doctor.ts';
import type { Finding } from '../../connector/doctor-finding.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import { realClock } from '../../node/real-time.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';

const MARKS: Readonly<Record<Finding['outcome'], string>> = {
  good: 'good',
  note: 'note',
  bad: 'BAD ',
  skipped: '  – ',
};

export async function runDoctor(
  options: ConnectorOptions,
  policy: EvidencePolicy,
  asJson: boolean,
  io: CommandIo,
): Promise<number> {
  let about = '';
  const show = (finding: Finding): void => {
    if (asJson) return;
    if (finding.about !== about) {
      about = finding.about;
      io.out(about);
    }
    io.out(`  ${MARKS[finding.outcome]}  ${finding.step}: ${finding.message}`);
    if (finding.fix !== undefined) io.out(`        → ${finding.fix}`);
  };
  const visit = { policy, verifier: nodeVerifier, clock: realClock, timers: systemTimers };
  const findings = await examine(options, visit, show);
  const count = (outcome: Finding['outcome']): number =>
    findings.filter((finding) => finding.outcome === outcome).length;
  const [bad, skipped, noted] = [count('bad'), count('skipped'), count('note')];
  const code = bad > 0 ? EXIT.bad : skipped > 0 ? EXIT.unable : EXIT.good;
  if (asJson) io.out(JSON.stringify({ healthy: code === EXIT.good, findings }));
  else io.out(`${bad} wrong, ${skipped} not looked at, ${noted} to know of`);
  return code;
}
