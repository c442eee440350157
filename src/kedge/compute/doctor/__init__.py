"""The doctor: looks at everything, says what is wrong, and puts right what can be put right."""
