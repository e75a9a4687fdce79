//! The administration, as those who use it see it, and those who may not.

mod access;
mod bounds;
mod document;
mod fixture;
mod nouns;
mod pages;
mod table;
