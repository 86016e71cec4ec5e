//! The console, as a browser without script sees it: the real program, asked by plain HTTP.

mod access;
mod acts;
mod analytics;
mod attacks;
mod demo;
mod drift;
mod frame;
mod letters;
mod now;
mod replica;
mod tasks;
mod users;
mod users_at_scale;
