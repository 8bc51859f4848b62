//! `daypass demo`: an embedded backend and a guided tour.
