/**
 * The props of the construct, as the types say them: `compute.lambda.maxConcurrency` and what its documentation says is the
 * default. Writes a JSON object to the file that the argument names.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as ts from 'typescript';

const LIB = path.resolve(__dirname, '..', '..', 'lib');

const program = ts.createProgram([path.join(LIB, 'index.ts')], {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.CommonJS,
  moduleResolution: ts.ModuleResolutionKind.Node10,
  strict: true,
  skipLibCheck: true,
  types: [],
});
const checker = program.getTypeChecker();
const found: Record<string, string | null> = {};
/** What is being looked into: a database may be behind a database. */
const within: ts.Type[] = [];

/** Whether a type is declared in the construct's own library, and not in CDK's. */
function isOurs(type: ts.Type): boolean {
  const file = type.getSymbol()?.declarations?.[0]?.getSourceFile().fileName;
  return file !== undefined && path.resolve(file).startsWith(LIB + path.sep);
}

function documented(symbol: ts.Symbol): string | null {
  const tag = symbol.getJsDocTags(checker).find(({ name }) => name === 'default');
  return tag ? ts.displayPartsToString(tag.text).replace(/\s+/g, ' ').trim() : null;
}

/** What a type is made of: of a list its elements, of a prop that may be left out what it is if it is there. */
function bare(type: ts.Type): ts.Type {
  const there = checker.getNonNullableType(type);
  return checker.isArrayType(there) ? checker.getTypeArguments(there as ts.TypeReference)[0]! : there;
}

function add(at: string, symbol: ts.Symbol, location: ts.Node): void {
  const type = bare(checker.getTypeOfSymbolAtLocation(symbol, location));
  const declaration = type.getSymbol()?.valueDeclaration;
  if (isOurs(type) && type.isClassOrInterface() && !(type.symbol.flags & ts.SymbolFlags.Class)) {
    members(at, type, location);
    return;
  }
  found[at] = documented(symbol);
  if (!isOurs(type) || !declaration || !ts.isClassDeclaration(declaration) || within.includes(type)) return;
  within.push(type);
  // A class with ways to make one, each with options of its own.
  const made = checker.getTypeOfSymbolAtLocation(type.symbol, location);
  for (const way of made.getProperties()) {
    const [signature] = checker.getTypeOfSymbolAtLocation(way, location).getCallSignatures();
    const makesOne = signature && checker.isTypeAssignableTo(signature.getReturnType(), type);
    if (!makesOne || ts.getCombinedModifierFlags(way.declarations![0]!) & ts.ModifierFlags.Private) continue;
    const parameters = signature.getParameters();
    for (const parameter of parameters) {
      const options = bare(checker.getTypeOfSymbolAtLocation(parameter, location));
      if (isOurs(options) && options.symbol.flags & ts.SymbolFlags.Interface)
        members(`${at}.${way.name}`, options, location);
      else found[`${at}.${way.name}`] = null;
    }
  }
  within.pop();
}

function members(at: string, type: ts.Type, location: ts.Node): void {
  for (const member of checker.getPropertiesOfType(type))
    if (!member.name.startsWith('_')) add(at ? `${at}.${member.name}` : member.name, member, location);
}

const index = program.getSourceFile(path.join(LIB, 'index.ts'))!;
const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(index)!);
const props = exported.find(({ name }) => name === 'CognitoUserSyncProps');
if (!props) throw new Error('lib/index.ts exports no CognitoUserSyncProps');
members('', checker.getDeclaredTypeOfSymbol(props), index);
fs.writeFileSync(process.argv[2]!, JSON.stringify(found, null, 1));
