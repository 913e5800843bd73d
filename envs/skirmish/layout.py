"""Names of the columns of the engine's arrays."""

# Columns of a unit's row in `bodies` (B, U, BODY): its changing state. Allies come first, then enemies. Lengths are
# in cells, times in game loops (16 a game second).
X, Y, HP, SHIELD, ENERGY = 0, 1, 2, 3, 4
COOLDOWN = 5  # loops until the weapon may begin its next attack
WINDUP = 6  # loops until the running attack hits; < 0: none is running
SECOND = 7  # loops until the second hit of the running attack; < 0: none
ORDER = 8  # current order: STOP, MOVE, ATTACK or RETURN; an attack-move is MOVE to (GOAL_X, GOAL_Y)
GOAL_X, GOAL_Y = 9, 10
TARGET = 11  # unit index; -1: none
QUIET = 12  # loops since the unit last took damage
CALL = 13  # loops until the unit may call for help again
HOME_X, HOME_Y = 14, 15  # position at which the present chase began
SPEED = 16  # cells a loop; grows with acceleration up to the kind's speed
RECOVER = 17  # loops until the backswing of the last attack is over
FLIGHT = 18  # loops until the unit's missile or beams hit; 0: there are none in flight
FLIGHT_TO = 19  # index of the unit that it will hit
FLIGHT_X, FLIGHT_Y = 20, 21  # position at which a colossus aimed its beams
FACE_X, FACE_Y = 22, 23  # direction in which the unit looks, of length 1; updated only under the rule `least_turn`
BODY = 24

STOP, MOVE, ATTACK = 0.0, 1.0, 2.0
RETURN = 3.0  # an enemy without orders gave up a chase and walks to (HOME_X, HOME_Y)

# Columns of a unit's row in `stats` (U, STAT): constants of its kind (`units.Unit`, written by `setup.stat_table`).
S_HP, S_SHIELD, S_ARMOR, S_DMG, S_HITS, S_SECOND, S_PERIOD, S_RANGE, S_SLOP = 0, 1, 2, 3, 4, 5, 6, 7, 8
S_POINT, S_SPEED, S_ACCEL, S_RADIUS, S_SEP, S_AIR, S_HITS_AIR, S_REGEN = 9, 10, 11, 12, 13, 14, 15, 16
S_SUICIDE, S_BURST, S_STRUCTURE_DMG, S_STRUCTURE, S_BIO, S_HEAL, S_HEAL_COST = 17, 18, 19, 20, 21, 22, 23
S_HEAL_RANGE, S_HEAL_SCAN, S_ENERGY, S_ENERGY_MAX, S_ENERGY_REGEN, S_SWEEP = 24, 25, 26, 27, 28, 29
S_MELEE, S_MELEE_POINT, S_BONUS = 30, 31, 32  # S_BONUS .. S_BONUS + 5: bonus damage against each attribute
S_ATTR = 38  # S_ATTR .. S_ATTR + 5: whether the unit has each attribute
S_CLIFFS = 44  # whether it walks over cliffs
S_BACKSWING = 45
S_SCAN = 46  # scan range: distance, edge to edge, at which it acquires targets
S_MISSILE = 47  # speed of its missiles in cells a loop; 0: its shots hit at once
S_MELEE_PERIOD = 48
S_CREATED = 49  # its number in the order in which the map's script creates the units of its spawn point
S_ALWAYS = 50  # ally: whether it always is a threat to every enemy; enemy: whether any ally always is
STAT = 51

# Columns of a battle's row in `books` (B, BOOK), uint64.
KEY, DRAWS, BATTLE, STEPS, LOOPS = 0, 1, 2, 3, 4
FLYING = 5  # number of missiles and beams in flight
BOOK = 6

# Columns of a battle's row in `flags` (B, 3), bool: how the step just taken ended the battle.
TERMINATED, TRUNCATED, BATTLE_WON = 0, 1, 2
