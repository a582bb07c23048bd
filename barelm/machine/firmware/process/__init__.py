"""The process the hosted firmware lives in: native code mapped, called, watched."""
