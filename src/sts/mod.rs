//! The Security Token Service: actions, grants, answers.
