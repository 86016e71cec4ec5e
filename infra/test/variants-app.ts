/** All variants as an app, for the real CLI. */
import { App } from 'aws-cdk-lib';
import { dist } from './support';
import { compositions, variants } from './variants';

const app = new App();
const code = dist();
variants(app, code);
compositions(app, code);
