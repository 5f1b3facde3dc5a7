/**
 * The program's version; a test compares it with package.json, which a core room cannot read.
 */
export const VERSION = '0.1.0';
