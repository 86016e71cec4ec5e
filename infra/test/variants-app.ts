/** All variants as an app, for the real CLI. */
import { App } from 'aws-cdk-lib';
import { dist } from './support';
import { compositions, variants } from './variants';

// References between the three stacks as they have always been: the newest CDK warns where nobody has chosen.
const app = new App({ context: { '@aws-cdk/core:defaultCrossStackReferences': 'strong' } });
const code = dist();
variants(app, code);
compositions(app, code);
