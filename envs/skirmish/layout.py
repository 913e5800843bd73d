"""Where things lie in the engine's arrays: names for columns, so that kernels read like prose."""

# Columns of a unit's row in `bodies` (B, U, ...): what it is and does now. Allies come first, enemies after them.
X, Y, HP, SHIELD, ENERGY = 0, 1, 2, 3, 4
COOLDOWN = 5  # loops until the weapon may begin again
WINDUP = 6  # loops until the running attack hits; < 0: none is running
SECOND = 7  # loops until the second hit of the running attack; < 0: none
ORDER = 8  # what the unit was told: STOP, MOVE, ATTACK
GOAL_X, GOAL_Y = 9, 10
TARGET = 11  # unit index; -1: none
QUIET = 12  # loops since the unit last took damage
CALL = 13  # loops until the unit may call for help again
HOME_X, HOME_Y = 14, 15  # where the running chase began
SPEED = 16  # cells a loop; units that accelerate build it up
RECOVER = 17  # loops until the backswing of the last attack is over
FLIGHT = 18  # loops until the unit's shot lands; 0: none is under way
FLIGHT_TO = 19  # whom it will hit
FLIGHT_X, FLIGHT_Y = 20, 21  # where a colossus aims its beams
FACE_X, FACE_Y = 22, 23  # where it looks, a direction of length 1; kept under the rule `least_turn` alone
BODY = 24

STOP, MOVE, ATTACK = 0.0, 1.0, 2.0
RETURN = 3.0  # of an enemy without orders that gave up a chase and walks home

# Columns of a unit's row in `stats` (U, ...): what its kind is.
S_HP, S_SHIELD, S_ARMOR, S_DMG, S_HITS, S_SECOND, S_PERIOD, S_RANGE, S_SLOP = 0, 1, 2, 3, 4, 5, 6, 7, 8
S_POINT, S_SPEED, S_ACCEL, S_RADIUS, S_SEP, S_AIR, S_HITS_AIR, S_REGEN = 9, 10, 11, 12, 13, 14, 15, 16
S_SUICIDE, S_BURST, S_STRUCTURE_DMG, S_STRUCTURE, S_BIO, S_HEAL, S_HEAL_COST = 17, 18, 19, 20, 21, 22, 23
S_HEAL_RANGE, S_HEAL_SCAN, S_ENERGY, S_ENERGY_MAX, S_ENERGY_REGEN, S_SWEEP = 24, 25, 26, 27, 28, 29
S_MELEE, S_MELEE_POINT, S_BONUS = 30, 31, 32  # S_BONUS .. S_BONUS + 5: bonus damage against each attribute
S_ATTR = 38  # S_ATTR .. S_ATTR + 5: whether the unit has each attribute
S_CLIFFS = 44  # whether it walks over cliffs
S_BACKSWING = 45
S_SCAN = 46  # how far it acquires, edge to edge
S_MISSILE = 47  # cells a loop of its shots; 0: they hit at once
S_MELEE_PERIOD = 48
S_CREATED = 49  # its place in the order in which the map's script creates its team
S_ALWAYS = 50  # of an ally: whether it is a threat to every enemy; of an enemy: whether any ally is
STAT = 51

# Columns of a battle's row in `books` (B, ...), uint64.
KEY, DRAWS, BATTLE, STEPS, LOOPS = 0, 1, 2, 3, 4
FLYING = 5  # shots under way
BOOK = 6
