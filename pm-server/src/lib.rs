#![doc = include_str!("../README.md")]

pub mod app;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod data_folder;
pub mod domain;
pub mod r#gen;
pub mod guard;
mod health;
mod http;
pub mod limits;
pub mod overload;
pub mod plan;
mod problem;
pub mod run;
pub mod stack;
pub mod store;
pub mod sync;
pub mod tenant;
pub mod wire;
pub mod ws;
