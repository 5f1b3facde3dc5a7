/**
 * The page of all settings, made from the schema, so that it is never behind it.
 */
import { NODE_SCHEMA } from './node-schema.ts';
import type { SettingLine } from './setting.ts';

const HEAD = `# Configuration of a node

\`concordat node start --config FILE\` and \`concordat node join --config FILE\` read one file of
JSON with these settings; \`--check\` only judges it. Relative paths start from the file's own
folder. Unknown settings are refused. This page is made from the schema: \`concordat node settings\`
prints it.

`;

/** The reference page of a node's settings, as Markdown. */
export function nodeSettingsPage(): string {
  const sections = new Map<string, SettingLine[]>();
  for (const line of NODE_SCHEMA.lines('')) {
    const section = line.name.split('.').slice(0, -1).join('.');
    sections.set(section, [...(sections.get(section) ?? []), line]);
  }
  const parts = [...sections].map(([section, lines]) => {
    const title = section === '' ? '## At the top' : `## \`${section}\``;
    return `${title}\n\n${table(lines)}`;
  });
  return `${HEAD}${parts.join('\n\n')}\n`;
}

function table(lines: readonly SettingLine[]): string {
  const rows = lines.map(({ name, takes, otherwise, about }) => {
    const last = name.split('.').at(-1) ?? name;
    const standing = /^(?:none|required)$/.test(otherwise) ? otherwise : `\`${otherwise}\``;
    return `| \`${last}\` | ${takes} | ${standing} | ${about} |`;
  });
  return [
    '| setting | takes | default | what it is |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
