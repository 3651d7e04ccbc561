{ b = second; a = first; }
