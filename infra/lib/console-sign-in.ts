/** Who signs people in before a request reaches the console: the action of the load balancer, and what the console believes. */
import { Aws, Duration, Stack, Token } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as elbv2 from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { AuthenticateCognitoAction } from 'aws-cdk-lib/aws-elasticloadbalancingv2-actions';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { refusal } from './limits';

/** A provider of OpenID Connect, as its discovery document says it. */
export interface OidcSignInOptions {
  /** The issuer, exactly as the provider says it. */
  readonly issuer: string;

  /** Where people sign in. */
  readonly authorizationEndpoint: string;

  /** Where the load balancer gets tokens. */
  readonly tokenEndpoint: string;

  /** Where the load balancer gets what the console is told of people. */
  readonly userInfoEndpoint: string;

  /** The load balancer's client, whose redirect URL is `https://<hostName>/oauth2/idpresponse`. */
  readonly clientId: string;

  /** Its secret. CloudFormation reads it at a deployment; no role of ours may. */
  readonly clientSecret: secretsmanager.ISecret;

  /**
   * The field that has it, where the secret is JSON.
   *
   * @default - the secret is the text itself
   */
  readonly clientSecretField?: string;

  /**
   * What is asked for, with blanks between.
   *
   * @default 'openid'
   */
  readonly scope?: string;
}

/** A user pool: that of your staff, rather than that of your customers. */
export interface UserPoolSignInOptions {
  /** The pool. */
  readonly userPool: cognito.IUserPool;

  /**
   * The load balancer's client: with a secret, the authorization code grant, `https://<hostName>/oauth2/idpresponse` as a
   * callback URL, and the right to read the attribute that gives rights.
   */
  readonly client: cognito.IUserPoolClient;

  /** The pool's domain. */
  readonly domain: cognito.IUserPoolDomain;
}

/** Who signs people in. */
export abstract class ConsoleSignIn {
  /** A provider of OpenID Connect. */
  public static oidc(options: OidcSignInOptions): ConsoleSignIn {
    return new OidcSignIn(options);
  }

  /** A user pool. */
  public static userPool(options: UserPoolSignInOptions): ConsoleSignIn {
    return new UserPoolSignIn(options);
  }

  /** @internal */
  public abstract readonly _issuer: string;

  /** @internal */
  public abstract readonly _clientId: string;

  /**
   * The claim that gives rights unless another is named.
   *
   * @internal
   */
  public abstract readonly _claim: string;

  /** @internal */
  public abstract _action(next: elbv2.ListenerAction, sessionTimeout: Duration): elbv2.ListenerAction;

  /**
   * Why nobody could sign in, or anybody have rights, as far as the app says it.
   *
   * @internal
   */
  public abstract _faults(scope: Construct, hostName: string, claim: string): string[];
}

class OidcSignIn extends ConsoleSignIn {
  /** @internal */
  public readonly _claim = 'groups';

  constructor(private readonly options: OidcSignInOptions) {
    super();
  }

  /** @internal */
  public get _issuer(): string {
    return this.options.issuer;
  }

  /** @internal */
  public get _clientId(): string {
    return this.options.clientId;
  }

  /** @internal */
  public _action(next: elbv2.ListenerAction, sessionTimeout: Duration): elbv2.ListenerAction {
    const { clientSecret: secret, clientSecretField: field, ...options } = this.options;
    const clientSecret = field === undefined ? secret.secretValue : secret.secretValueFromJson(field);
    return elbv2.ListenerAction.authenticateOidc({ ...options, clientSecret, sessionTimeout, next });
  }

  /** @internal */
  public _faults(): string[] {
    return [];
  }
}

class UserPoolSignIn extends ConsoleSignIn {
  /** @internal */
  public readonly _claim = 'custom:console';

  constructor(private readonly options: UserPoolSignInOptions) {
    super();
  }

  /** @internal */
  public get _issuer(): string {
    const { userPoolId, env } = this.options.userPool;
    return `https://cognito-idp.${env.region}.${Aws.URL_SUFFIX}/${userPoolId}`;
  }

  /** @internal */
  public get _clientId(): string {
    return this.options.client.userPoolClientId;
  }

  /** @internal */
  public _action(next: elbv2.ListenerAction, sessionTimeout: Duration): elbv2.ListenerAction {
    const { userPool, client: userPoolClient, domain: userPoolDomain } = this.options;
    // By it alone a pool tells all attributes that the client may read ("The user attributes endpoint", Amazon Cognito
    // Developer Guide); with `email` beside it, no custom one.
    const scope = 'openid';
    return new AuthenticateCognitoAction({
      userPool,
      userPoolClient,
      userPoolDomain,
      scope,
      sessionTimeout,
      next,
    });
  }

  /** @internal */
  public _faults(scope: Construct, hostName: string, claim: string): string[] {
    const isNamed = (names: string[]) => names.some((name) => name === claim || `custom:${name}` === claim);
    // CDK's documentation says that by default a client may write them all, Cognito's that it may write the standard ones.
    const others = clientsOf(scope, this.options.userPool).filter(
      ({ writeAttributes }) => !writeAttributes || isNamed(writeAttributes),
    );
    const faults = others.map(({ node }) =>
      refusal(
        'console.roles.claim',
        claim,
        `an attribute that no app client may write, and ${node.scope!.node.path} may: people could give themselves any ` +
          'role: give it writeAttributes without it',
      ),
    );
    const made = this.options.client.node.defaultChild;
    if (!(made instanceof cognito.CfnUserPoolClient)) return faults;
    const { node } = this.options.client;
    const refuse = (expected: string) =>
      faults.push(refusal('console.signIn', `the client ${node.path}`, expected));
    if (made.generateSecret !== true) refuse('one with generateSecret: true: a load balancer needs one');
    const callback = `https://${hostName}/oauth2/idpresponse`;
    if (!Token.isUnresolved(hostName) && !isKnown(made.callbackUrLs, callback))
      refuse(`one with ${callback} in oAuth.callbackUrls: people are sent back there`);
    if (made.readAttributes && !isNamed(made.readAttributes))
      refuse(`one with ${claim} in readAttributes: nobody would have a role in the console`);
    return faults;
  }
}

/** Whether a text is among others, some of which nobody knows yet. */
function isKnown(all: string[] | undefined, one: string): boolean {
  return all?.some((each) => each === one || Token.isUnresolved(each)) ?? false;
}

/** The clients that this app makes in the pool. */
function clientsOf(scope: Construct, userPool: cognito.IUserPool): cognito.CfnUserPoolClient[] {
  const id = (of: string) => JSON.stringify(Stack.of(userPool).resolve(of));
  return scope.node.root.node
    .findAll()
    .filter((child) => child instanceof cognito.CfnUserPoolClient)
    .filter((client) => id(client.userPoolId) === id(userPool.userPoolId));
}
