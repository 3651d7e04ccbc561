[ [ map ] == [ map ] ]
