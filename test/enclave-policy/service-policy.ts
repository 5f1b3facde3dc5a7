// Evaluates policies of an attestation service (language version 1.0) as far as ours go: rules of
// conditions on claims, joined by `&&`, that permit. Whoever is not permitted gets no token.

export type Claims = Readonly<Record<string, unknown>>;

interface Condition {
  readonly type: string;
  readonly value: string | number | boolean;
}

/** Throws for what is not of this language. */
export function readServicePolicy(text: string): readonly (readonly Condition[])[] {
  const whole =
    /^version= 1\.0;\s*authorizationrules\s*\{([\s\S]*)\};\s*issuancerules\s*\{\s*\};\s*$/;
  const body = whole.exec(text)?.[1];
  if (body === undefined) throw new Error(`not a policy: ${text}`);
  const rules = body.split(/=>\s*permit\(\);/);
  const rest = rules.pop() ?? '';
  if (rest.trim() !== '') throw new Error(`a rule without an end: ${rest}`);
  return rules.map((rule) => rule.split('&&').map(conditionOf));
}

function conditionOf(text: string): Condition {
  const form = /^\s*\[type=="([\w.-]+)", value==("[^"]*"|true|false|\d+)\]\s*$/;
  const [, type = '', value] = form.exec(text) ?? [];
  if (value === undefined) throw new Error(`not a condition: ${text}`);
  return { type, value: JSON.parse(value) as string | number | boolean };
}

export function permits(text: string, claims: Claims): boolean {
  return readServicePolicy(text).some((rule) =>
    rule.every(({ type, value }) => claims[type] === value),
  );
}
