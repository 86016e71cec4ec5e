/** Writes a template as YAML, with the short forms of CloudFormation's functions. */

/* eslint-disable @typescript-eslint/no-explicit-any */
const WIDTH = 110;

/** A value behind its key or its dash: on the same line, or on lines of its own. */
export function yaml(value: any, indent = 0): string {
  const flow = inline(value, false);
  if (flow !== undefined && (isScalar(value) || flow.length + indent + 20 < WIDTH)) return ` ${flow}`;
  const pad = ' '.repeat(indent);
  if (isScalar(value)) {
    const lines: string[] = value.trimEnd().split('\n');
    return ` |\n${lines.map((line) => (line ? pad + line : '')).join('\n')}`;
  }
  if (Array.isArray(value))
    return `\n${value.map((item) => `${pad}-${behindDash(item, indent)}`).join('\n')}`;
  const [tag, inner] = short(value) ?? [];
  if (tag !== undefined) return ` ${tag}${yaml(inner, indent)}`;
  const lines = Object.entries(value).map(
    ([key, one]) => `${pad}${scalar(key, false)}:${yaml(one, indent + 2)}`,
  );
  return `\n${lines.join('\n')}`;
}

/** What stands behind the dash of a list: the first key of an object on the same line. */
function behindDash(item: any, indent: number): string {
  const made = yaml(item, indent + 2);
  return made.startsWith('\n') ? ` ${made.slice(1 + indent + 2)}` : made;
}

const isScalar = (value: any) => !(value instanceof Object);

/** The tag and the argument of a function. */
function short(value: any): [string, any] | undefined {
  const [key, ...others] = Object.keys(value);
  if (key === undefined || others.length > 0) return undefined;
  if (key === 'Ref') return ['!Ref', value.Ref];
  if (key === 'Condition' && isScalar(value.Condition)) return ['!Condition', value.Condition];
  if (key === 'Fn::GetAtt') return ['!GetAtt', value[key].join('.')];
  return key.startsWith('Fn::') ? [`!${key.slice(4)}`, value[key]] : undefined;
}

/** On one line, if it can be read there. */
function inline(value: any, isWithin: boolean): string | undefined {
  if (isScalar(value))
    return typeof value === 'string' && value.includes('\n') ? undefined : scalar(value, isWithin);
  if (Array.isArray(value)) {
    const items = value.map((item) => inline(item, true));
    return items.includes(undefined) ? undefined : `[${items.join(', ')}]`;
  }
  if (Object.keys(value).length === 0) return '{}';
  const [tag, inner] = short(value) ?? [];
  const made = tag === undefined ? undefined : inline(inner, isWithin);
  return made && `${tag} ${made}`;
}

/** A text as it is where YAML reads it so, within brackets or not. */
function scalar(value: any, isWithin: boolean): string {
  if (typeof value !== 'string') return String(value);
  const isWord = /^(true|false|yes|no|on|off|null|y|n)$/i.test(value);
  const isPlain = /^[A-Za-z/.$]/.test(value) && !/: |:$| #/.test(value) && value.trim() === value && !isWord;
  if (isPlain && !(isWithin && /[,[\]{}]/.test(value))) return value;
  return value.includes("'") && !/["\\]/.test(value) ? `"${value}"` : `'${value.replaceAll("'", "''")}'`;
}
