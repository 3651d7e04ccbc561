let set = { or = 1; }; in [ set.or (set.x or 2) (set.or or 3) ]
