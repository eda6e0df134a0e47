//! Every end-to-end test in one program: see the modules.
