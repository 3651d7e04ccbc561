map (y: y) [ x ]
