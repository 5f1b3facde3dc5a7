/**
 * `concordat connector --doctor`: goes the way that a connector goes, stops nowhere, and says at
 * each step what it found and what to do about it. It can be run beside a connector that serves.
 */
import { messageOf } from '../base/errors.ts';
import type { ConnectorOptions } from './connector.ts';
import { certificateIn, portraitOf, validityOf } from './doctor-certificate.ts';
import type { Finding, Tell } from './doctor-finding.ts';
import { examineMachine } from './doctor-local.ts';
import { examineNode, type NodeVisit } from './doctor-node.ts';

/** Looks at everything that a connector with these options needs. Never rejects. */
export async function examine(
  options: ConnectorOptions,
  visit: Omit<NodeVisit, 'service'>,
  tell: Tell,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const note: Tell = (finding) => {
    findings.push(finding);
    tell(finding);
  };
  const nowMs = visit.clock.nowMs();
  await guarded('this machine', note, () => examineMachine(options, nowMs, note));
  const about = "service's certificate";
  const trusted = certificateIn(options.service.serviceCertificate);
  if (typeof trusted === 'string') {
    const message = `it cannot be read: ${trusted}`;
    const fix = 'get it from the members of the service, and compare its fingerprint';
    note({ about, step: 'file', outcome: 'bad', message, fix });
    return findings;
  }
  note({ about, step: 'file', outcome: 'good', message: portraitOf(trusted) });
  const renewal = 'get the new one from the members of the service';
  note({ about, step: 'validity', ...validityOf(trusted, nowMs, renewal) });
  for (const url of options.service.nodeUrls) {
    const node = { ...visit, service: options.service };
    await guarded(url, note, () => examineNode(url, node, note));
  }
  return findings;
}

/** What no step foresaw is a finding too. */
async function guarded(about: string, tell: Tell, look: () => Promise<void>): Promise<void> {
  try {
    await look();
  } catch (thrown) {
    const message = `it could not be looked at: ${messageOf(thrown)}`;
    tell({ about, step: 'examination', outcome: 'skipped', message });
  }
}
