"x" + /nowhere/at-all
